"""The contract is a literal list: every backend has these names and signatures, and nobody uses others."""

import ast
import inspect
from pathlib import Path

import pytest

import bertref
from bertref.backends import Backend, contract
from bertref.backends.namespace import Namespace

NAMES = {*contract.STANDARD, *contract.STANDARD_DTYPES, *contract.EXTRAS, *contract.FACTS}


def _namespaces() -> list[type[Namespace]]:
    from bertref.backends.cupy.backend import CupyNamespace
    from bertref.backends.numpy.backend import NumpyNamespace
    from bertref.backends.strict import StrictNamespace
    from bertref.backends.torch.backend import TorchNamespace
    from bertref.backends.torch.cuda import CudaNamespace

    return [CudaNamespace, CupyNamespace, NumpyNamespace, StrictNamespace, TorchNamespace]


def _methods(namespace: type[Namespace]) -> dict[str, str]:
    """Public method -> its parameters, as text: a backend may spell the same type differently."""
    functions = inspect.getmembers(namespace, inspect.isfunction)
    return {name: ", ".join(str(p.replace(annotation=p.empty)) for p in inspect.signature(function).parameters.values())
            for name, function in functions if not name.startswith("_")}  # fmt: skip


def test_the_base_has_the_extras_of_the_contract() -> None:
    written = {name: "self, " + text[1 : text.index(")")] for name, text in contract.EXTRAS.items()}
    assert _methods(Namespace) == {name: text.removesuffix(", ") for name, text in written.items()}


def test_every_backend_has_the_signatures_of_the_base() -> None:
    pytest.importorskip("cupy", reason="cupy is not installed")
    for namespace in _namespaces():
        assert _methods(namespace) == _methods(Namespace), namespace.__name__
        for name in contract.EXTRAS:
            if name not in ("dtype", "dtype_name", "fetch"):  # the base's own serve everybody, or who never waits
                assert getattr(namespace, name) is not getattr(Namespace, name), f"{namespace.__name__}.{name}"


def test_names_are_bound_and_no_others(backend: Backend) -> None:
    xp = backend.xp
    assert {name for name in vars(xp) if not name.startswith("_")} == {
        *contract.STANDARD,
        *contract.STANDARD_DTYPES,
    }
    assert all(callable(getattr(xp, name)) for name in (*contract.STANDARD, *contract.EXTRAS))
    with pytest.raises(AttributeError, match=r"xp\.einsum is not in the contract"):
        xp.einsum  # noqa: B018


def test_cupy_resolves_every_name_without_a_device() -> None:
    pytest.importorskip("cupy", reason="cupy is not installed")
    from bertref.backends.cupy.backend import CupyNamespace

    xp = CupyNamespace()
    for name in NAMES:
        assert getattr(xp, name) is not None
    for name in contract.DTYPES:
        assert xp.dtype_name(xp.dtype(name)) == name


def test_lists_are_sorted_and_without_overlap() -> None:
    assert list(contract.STANDARD) == sorted(set(contract.STANDARD))
    assert len(NAMES) == sum(map(len, (contract.STANDARD, contract.STANDARD_DTYPES, contract.EXTRAS, contract.FACTS)))
    assert set(contract.CREATION) <= set(contract.STANDARD)


def _used_names(source: str) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Attribute)
            and ((isinstance(node.value, ast.Name) and node.value.id == "xp")
                 or (isinstance(node.value, ast.Attribute) and node.value.attr == "xp"))}  # fmt: skip


EMULATOR = {"arithmetic", "promoted", "rounded", "wrap"}
"""What the emulating namespace of `bertref.verify` has beside the contract, for `bertref.verify` alone."""


def test_the_package_uses_only_what_is_in_the_contract() -> None:
    package = Path(bertref.__file__).parent
    files = [path for path in package.rglob("*.py") if "backends" not in path.relative_to(package).parts]
    outside = {
        f"{path.relative_to(package)}: xp.{name}"
        for path in files
        for name in _used_names(path.read_text(encoding="utf-8")) - NAMES
        - (EMULATOR if "verify" in path.relative_to(package).parts else set())
    }  # fmt: skip
    assert not outside
    assert len(files) > 30


def test_uses_are_found() -> None:
    assert _used_names("y = xp.exp(self.xp.log(x)) + np.sin(x) + xpx.cos(x)") == {"exp", "log"}


@pytest.mark.parametrize("name", ["zeros", "ones", "full"])
def test_creation_needs_a_dtype(backend: Backend, name: str) -> None:
    arguments = ((2,), 3.0) if name == "full" else ((2,),)
    with pytest.raises(TypeError, match=f"xp.{name} needs a dtype"):
        getattr(backend.xp, name)(*arguments)
