"""Finds backends by name and by the class of an array."""

import importlib
import importlib.util
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..arrays import Array
from ..errors import BackendUnavailable, InputError
from .backend import Backend

GROUP = "bertref.backends"


@dataclass(frozen=True)
class BuiltIn:
    """Where a built-in backend lives, what it needs, and how a person gets that."""

    module: str
    library: str
    remedy: str


BUILT_IN = {
    "numpy": BuiltIn("numpy.backend", "numpy", "pip install bertref"),
    "torch": BuiltIn("torch.backend", "torch", "pip install 'bertref[torch]'"),
    "cupy": BuiltIn("cupy.backend", "cupy", "pip install 'bertref[cupy]'"),
    "strict": BuiltIn("strict", "array_api_strict", "pip install 'bertref[test]'"),
}
"""Known without installed metadata: a checkout on the path is enough."""

_loaded: dict[str, Backend] = {}


def _third_party() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}


def names() -> tuple[str, ...]:
    """The backends that `get` knows here, built-in ones first."""
    return (*BUILT_IN, *sorted(_third_party()))


def describe() -> dict[str, str]:
    """Where each backend comes from: backend name -> module, or the package that adds it. Imports nothing."""
    found = {name: f"built in, {GROUP}.{built_in.module}" for name, built_in in BUILT_IN.items()}
    for name, entry in sorted(_third_party().items()):
        found[name] = f"{entry.dist.name if entry.dist else 'unknown package'}, {entry.value}"
    return found


def get(spec: str) -> Backend:
    """The backend that `spec` names: "numpy", "torch", "torch:cuda:1", "cupy:0".

    Raises `InputError` for a name or a device that does not exist, `BackendUnavailable` where the library or
    the device can't be used here.
    """
    if spec in _loaded:
        return _loaded[spec]
    name, _, device = spec.partition(":")
    backend = _creator(name)(device or None)
    # "torch" and "torch:cpu" are the same backend, and the first one made of either name stays
    return _loaded.setdefault(spec, _loaded.setdefault(backend.spec, backend))


def _creator(name: str) -> Callable[[str | None], Backend]:
    if name in BUILT_IN:
        return _built_in_creator(name)
    entry = _third_party().get(name)
    if entry is None:
        raise InputError(f"backend {name!r} does not exist; there are {', '.join(names())}")
    try:
        create: Callable[[str | None], Backend] = entry.load()
    except Exception as error:
        raise BackendUnavailable(
            f"backend {name!r}: entry point {entry.value!r} can't be loaded: {type(error).__name__}: {error}"
        ) from error
    return create


def _built_in_creator(name: str) -> Callable[[str | None], Backend]:
    built_in = BUILT_IN[name]
    if importlib.util.find_spec(built_in.library) is None:
        raise BackendUnavailable(f"backend {name!r}: {built_in.library} is not installed; {built_in.remedy}")
    try:
        module = importlib.import_module(f"{GROUP}.{built_in.module}")
    except Exception as error:
        raise BackendUnavailable(
            f"backend {name!r}: {built_in.library} is installed but broken: {type(error).__name__}: {error}"
        ) from error
    create: Callable[[str | None], Backend] = module.create
    return create


def of(*arrays: Any) -> Backend:
    """The backend of these arrays, told by their classes; numbers, NumPy scalars and None are passed over.

    Raises `InputError` where they belong to different libraries or devices, or where none is an array.
    """
    found: dict[str, Backend] = {}
    for array in arrays:
        if array is None or isinstance(array, numbers.Number) or _is_numpy_scalar(array):
            continue
        backend = _backend_of(array)
        found[backend.spec] = backend
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise InputError("no array among the arguments: the backend can't be told")
    raise InputError(f"arrays of {' and '.join(found)} are mixed; move them all to one backend first")


def _is_numpy_scalar(value: Any) -> bool:
    cls = type(value)
    return cls.__module__ == "numpy" and any(base.__name__ == "generic" for base in cls.__mro__)


def _backend_of(array: Array) -> Backend:
    backend = _of_class(type(array))
    device = backend.device_of(array)
    return get(f"{backend.name}:{device}") if device else backend


def _of_class(cls: type) -> Backend:
    """The backend, on its default device, whose library `cls` or one of its bases comes from."""
    modules = [base.__module__.partition(".")[0] for base in cls.__mro__]
    for name, built_in in BUILT_IN.items():
        if built_in.library in modules:
            return get(name)
    for name in _third_party():
        backend = get(name)
        if any(module in modules for module in backend.array_modules):
            return backend
    raise InputError(f"{cls.__module__}.{cls.__qualname__} is not an array of any backend: {', '.join(names())}")
