"""Backends are found by name and by an array's class, without needless imports; errors say what to do."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import bertref
from bertref import backends
from bertref.backends import registry
from bertref.errors import BackendUnavailable, InputError

ROOT = Path(bertref.__file__).parents[1]


def _python(code: str, *path: Path) -> str:
    lines = f"import sys; sys.path[:0] = {[str(p) for p in (*path, ROOT)]!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_looking_up_imports_no_library() -> None:
    loaded = "print(sorted({'numpy', 'torch', 'cupy', 'array_api_compat', 'array_api_strict'} & set(sys.modules)))"
    assert _python(f"import bertref.backends as b; b.names(); b.describe(); {loaded}") == "[]"
    assert _python(f"import bertref.backends as b; b.get('numpy'); {loaded}") == "['numpy']"
    code = "import numpy, bertref.backends as b; assert b.of(numpy.ones(2)).name == 'numpy'"
    assert _python(f"{code}; {loaded}") == "['numpy']"


def test_a_bare_import_is_refused() -> None:
    folder = ROOT if (ROOT / "backends").is_dir() else Path(backends.__file__).parents[1]
    code = f"""
sys.path.insert(0, {str(folder)!r})
try:
    import backends
except ImportError as error:
    print(error)
"""
    assert _python(code) == "this package is bertref.backends; it can't be imported as 'backends'"


@pytest.mark.parametrize(("spec", "canonical"), [("numpy", "numpy"), ("numpy:cpu", "numpy"), ("torch", "torch:cpu"),
                                                 ("torch:cpu", "torch:cpu"), ("strict", "strict")])  # fmt: skip
def test_one_backend_for_all_its_names(spec: str, canonical: str) -> None:
    backend = backends.get(spec)
    assert backend.spec == canonical
    assert backend is backends.get(canonical) is backends.get(spec)
    assert backends.of(backend.xp.zeros((2,), dtype=backend.xp.float32)) is backend
    assert not backend.static_shapes
    assert bool(backend.kernels) == (canonical == "numpy")
    assert {"float32", "float64"} <= set(backend.dtypes)


@pytest.mark.parametrize(("spec", "message"), [
    ("jax", "backend 'jax' does not exist; there are numpy, torch, cupy, strict"),
    ("", "backend '' does not exist"),
    ("numpy:gpu", "backend 'numpy' has no device 'gpu'"),
    ("strict:1", "backend 'strict' has no device '1'"),
    ("torch:mps", "backend 'torch' has no device 'mps'; there are cpu, cuda"),
    ("torch:cpu:1", "backend 'torch' has no device 'cpu:1'"),
    ("torch:cuda:x", "backend 'torch' has no device 'cuda:x'"),
    ("cupy:first", "backend 'cupy' has no device 'first'; GPUs are numbered"),
])  # fmt: skip
def test_wrong_names_are_explained(spec: str, message: str) -> None:
    if spec.startswith("cupy"):
        pytest.importorskip("cupy", reason="cupy is not installed")
    with pytest.raises(InputError) as caught:
        backends.get(spec)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("name", "extra"), [("torch", "torch"), ("cupy", "cupy"), ("strict", "test")])
def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, name: str, extra: str) -> None:
    monkeypatch.setattr(registry, "_loaded", {})
    monkeypatch.setattr("importlib.util.find_spec", lambda library: None)
    with pytest.raises(BackendUnavailable, match=rf"is not installed; pip install 'bertref\[{extra}\]'"):
        backends.get(name)


def test_a_broken_library_is_reported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: no such file')", encoding="utf-8")
    code = """
from bertref import backends, errors
try:
    backends.get("torch")
except errors.BackendUnavailable as error:
    print(error)
"""
    found = _python(code, tmp_path)
    assert found == "backend 'torch': torch is installed but broken: OSError: libtorch_cpu.so: no such file"


def test_torch_cuda_without_a_device_names_the_cause() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BackendUnavailable) as caught:
        backends.get("torch:cuda")
    cause = "NVIDIA" if torch.backends.cuda.is_built() else "is a CPU-only build; install a CUDA build"
    assert cause in str(caught.value)


def test_torch_xla_without_its_package_says_what_to_install() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    try:
        import torch_xla  # noqa: F401
    except ImportError:
        with pytest.raises(BackendUnavailable, match=r"torch_xla.*; pip install torch_xla"):
            backends.get("torch:xla")
    else:
        assert backends.get("torch:xla").static_shapes


def test_arrays_of_two_libraries_are_refused() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(InputError, match="arrays of numpy and torch:cpu are mixed"):
        backends.of(np.ones(2), 1.0, torch.ones(2))


def test_numbers_and_scalars_tell_nothing() -> None:
    assert backends.of(1, 2.0, True, None, np.float32(3), np.int64(4), np.ones(1)).name == "numpy"
    for arguments in ((), (1.0,), (np.float64(2), None)):
        with pytest.raises(InputError, match="no array among the arguments"):
            backends.of(*arguments)


@pytest.mark.parametrize("value", [[1.0, 2.0], "text", object()])
def test_what_is_no_array_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"builtins\.\w+ is not an array of any backend"):
        backends.of(value)


def test_subclasses_belong_to_their_library() -> None:
    class Weights(np.ndarray):
        pass

    assert backends.of(np.ones(2).view(Weights)) is backends.get("numpy")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    assert backends.of(torch.nn.Parameter(torch.ones(2))) is backends.get("torch")


FAKE = """
from bertref.backends import Backend
from bertref.backends.numpy.backend import NumpyNamespace

class Grid:
    pass

def create(device):
    return Backend("grid", device or "", NumpyNamespace(), ("float32",), array_modules=("grid_arrays",),
                   device_of=lambda array: "7")
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with an installed package that adds a backend, and one whose entry point leads nowhere."""
    (tmp_path / "grid_arrays.py").write_text(FAKE, encoding="utf-8")
    info = tmp_path / "grid_arrays-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grid-arrays\nVersion: 2.0\n", encoding="utf-8")
    entries = "[bertref.backends]\ngrid = grid_arrays:create\nlost = grid_nowhere:create\nnumpy = grid_arrays:create\n"
    (info / "entry_points.txt").write_text(entries, encoding="utf-8")
    return tmp_path


def test_another_package_adds_a_backend(installed: Path) -> None:
    code = """
import grid_arrays
from bertref import backends, errors
print(backends.names())
print(backends.describe()["grid"])
print(backends.get("grid:7").spec, backends.of(grid_arrays.Grid()) is backends.get("grid:7"))
print(backends.get("numpy").name)
try:
    backends.get("lost")
except errors.BackendUnavailable as error:
    print(error)
"""
    names, described, got, numpy, lost = _python(code, installed).splitlines()
    assert names == "('numpy', 'torch', 'cupy', 'strict', 'grid', 'lost')"
    assert described == "grid-arrays, grid_arrays:create"
    assert got == "grid:7 True"
    assert numpy == "numpy"  # a built-in backend can't be replaced
    assert lost.startswith("backend 'lost': entry point 'grid_nowhere:create' can't be loaded: ModuleNotFoundError")


def test_the_installed_entry_points_are_the_built_in_table() -> None:
    try:
        declared = metadata.distribution("bertref").entry_points.select(group="bertref.backends")
    except metadata.PackageNotFoundError:
        pytest.skip("bertref has no installed metadata here")
    for entry in declared:
        assert entry.value == f"bertref.backends.{registry.BUILT_IN[entry.name].module}:create"
