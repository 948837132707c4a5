"""What a pickle of weights may name, and what stands for it here.

`torch.save` writes a tensor as a call: a function's name, and its arguments, the first of which is a storage, referred
to by key. The calls are not made; a `Tensor` records each.
"""

from dataclasses import dataclass
from typing import Any

from .raw import LARGEST, STORED, shown


class Refused(Exception):
    """Why a reading ends; the sentence's subject is the pickle."""


@dataclass(frozen=True)
class Storage:
    """What the file has under `key`: a run of `numel` elements. dtype "": bytes, untyped."""

    key: str
    dtype: str
    numel: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.numel * (STORED[self.dtype].itemsize if self.dtype else 1)


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, as the file announces it; the numbers are not checked yet. Strides count elements."""

    storage: Storage
    dtype: str
    offset: object
    shape: object
    stride: object


@dataclass(frozen=True)
class Name:
    """A global: `module.name` of the pickle and, for a storage or dtype, what `Entry.dtype` calls it."""

    name: str
    dtype: str | None = None


class Opaque:
    """A value that is no tensor, where such values are skipped: what Python would have made of it is not made."""

    __slots__ = ()


_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
}  # fmt: skip
_TORCH_DTYPES = (*_STORAGES.values(), "uint16", "uint32", "uint64")
FOREIGN = ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu", "complex64", "complex128", "quint8", "qint8")
"""How the dtypes of torch end that no BERT is made of; refused in other words than a stranger's function."""
_PLAIN = (
    "collections.OrderedDict", "torch.Size", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
)  # fmt: skip
GLOBALS: dict[str, Name] = {
    **{name: Name(name) for name in _PLAIN},
    **{f"torch.{name}Storage": Name(f"torch.{name}Storage", dtype) for name, dtype in _STORAGES.items()},
    **{f"torch.{dtype}": Name(f"torch.{dtype}", dtype) for dtype in _TORCH_DTYPES},
    "torch.storage.UntypedStorage": Name("torch.storage.UntypedStorage", ""),
}
"""Every name that may occur."""

REBUILDS = {"_rebuild_tensor": (4,), "_rebuild_tensor_v2": (6, 7), "_rebuild_tensor_v3": (7, 8)}
"""Function that makes a tensor -> how many arguments it takes."""
SAME: dict[str, tuple[int, type]] = {"Size": (1, tuple), "_rebuild_parameter": (3, Tensor)}
"""Function that gives back its first argument -> how many it takes, and that one's type."""


def storage_of(given: object) -> Storage:
    """('storage', type, key, device, elements), in files before 1.6 followed by None or a view of that storage."""
    if type(given) is not tuple or len(given) not in (5, 6) or given[0] != "storage":
        raise Refused("refers to something outside it that is no storage")
    kind, key, numel = given[1], given[2], given[4]
    if not isinstance(kind, Name) or kind.dtype is None or not kind.name.endswith("Storage"):
        raise Refused(f"has a storage of an unknown type {shown(getattr(kind, 'name', kind))}")
    if not isinstance(key, str) or type(numel) is not int or not 0 <= numel <= LARGEST:
        raise Refused(f"has a storage with the key {shown(key)} and the length {shown(numel)}")
    if len(given) == 6 and given[5] is not None:
        raise Refused(f"has storage {shown(key)} as a view of another, which is not supported")
    return Storage(key, kind.dtype, numel)


def tensor_of(name: str, arguments: tuple[Any, ...]) -> Tensor:
    """(storage, offset, shape, stride, requires_grad, hooks), in version 3 followed by the dtype; then metadata.

    Metadata would say that the elements are to be negated or conjugated.
    """
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, Storage):
        raise Refused(f"makes a tensor of {shown(storage)}, which is no storage")
    dtype = storage.dtype
    if len(arguments) == max(REBUILDS[name]) > 4 and arguments[-1]:
        raise Refused("makes a tensor with metadata, which is not supported")
    if name.endswith("v3"):
        marker = arguments[6]
        if not isinstance(marker, Name) or not marker.dtype or marker.name.endswith("Storage"):
            raise Refused(f"makes a tensor of the unknown dtype {shown(marker)}")
        dtype = marker.dtype
    if not dtype:
        raise Refused("makes a tensor of bytes without a dtype")
    return Tensor(storage, dtype, offset, shape, stride)
