"""`pytorch_model.bin` without torch, and without executing the pickle in it.

`torch_file` knows the containers, `pickle_reader` reads the pickle as data; here what they found is taken as a state
dict and every tensor is checked: as a view of its storage it must lie inside it and not be larger than it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CheckpointError
from .coverage import some
from .pickle_names import Storage, Tensor
from .pickle_reader import Machine
from .pickle_skipping import SkippingMachine
from .raw import bytes_of, checked_shape, decode, shown
from .source import StoredTensor
from .torch_file import open_torch_file, read_extent

WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""Under these names, training scripts put the weights beside other things."""
ADVICE = "save the weights alone: torch.save(model.state_dict(), FILE)"


@dataclass(frozen=True)
class View:
    """A tensor that lies in its storage: it has `size` bytes, which are found from byte `start` to `end`."""

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    size: int
    start: int
    end: int


class PickledSource:
    """A file of `torch.save` as a `Source`: a state dict, or a dict that holds one under a name of `WRAPPERS`.

    With `skip`, what is no tensor is passed over (`pickle_skipping`), as in a checkpoint of Lightning's.

    Raises `CheckpointError` if the file is missing, damaged or holds anything but weights; a name in its pickle that
    belongs to no weights is refused and reported, never called.
    """

    format = "pytorch"

    def __init__(self, path: str | Path, *, skip: bool = False) -> None:
        self.path = Path(path)
        contents = open_torch_file(self.path, SkippingMachine if skip else Machine)
        tensors, skipped = (_tensors_among if skip else _state_dict)(contents.value, self.path)
        self.notes = _notes(self.path, skipped)
        self._extents = contents.extents
        self._views: dict[str, View] = {}
        self._entries: dict[str, StoredTensor] = {}
        self._last: tuple[str, npt.NDArray[np.uint8]] | None = None
        for name, tensor in tensors.items():
            try:
                view = self._views[name] = _checked_view(tensor)
            except ValueError as error:
                raise CheckpointError(f"{self.path}: tensor {shown(name)}: {error}") from None
            self._entries[name] = StoredTensor(view.shape, view.dtype, self.path)

    @property
    def entries(self) -> Mapping[str, StoredTensor]:
        """Name -> entry, in the file's order."""
        return self._entries

    @property
    def distinct_bytes(self) -> int:
        """Bytes of the tensors when those that share a storage count once: the smallest of them."""
        least: dict[str, int] = {}
        for view in self._views.values():
            least[view.storage.key] = min(view.size, least.get(view.storage.key, view.size))
        return sum(least.values())

    def read(self, name: str) -> npt.NDArray[Any]:
        """One tensor, a fresh array of its own even where tensors share a storage.

        Raises `CheckpointError` if the file has no such tensor, is no longer whole, or the data has another checksum.
        """
        if name not in self._entries:
            raise CheckpointError(f"{self.path}: holds no tensor {shown(name)}")
        view = self._views[name]
        if view.size == 0:
            return decode(np.empty(0, np.uint8), view.dtype).reshape(view.shape)
        whole = view.size == view.storage.size
        data = self._data(view.storage.key, name) if whole else self._shared_data(view.storage.key, name)
        try:
            flat = decode(data[view.start : view.end], view.dtype)
        except ValueError as error:
            raise CheckpointError(f"{self.path}: tensor {shown(name)}: {error}") from None
        strides = [step * flat.itemsize for step in view.stride]
        array = np.lib.stride_tricks.as_strided(flat, view.shape, strides, writeable=False)
        return flat.reshape(view.shape) if whole and array.flags.c_contiguous else array.copy()

    def _data(self, key: str, name: str) -> npt.NDArray[np.uint8]:
        return read_extent(self.path, self._extents[key], f"tensor {shown(name)}")

    def _shared_data(self, key: str, name: str) -> npt.NDArray[np.uint8]:
        """The storage of a tensor that is only a part of it, kept until another is needed: its neighbours follow."""
        if self._last is None or self._last[0] != key:
            self._last = None  # before the next is read, so that there is never memory for two
            self._last = (key, self._data(key, name))
        return self._last[1]


def _state_dict(value: object, path: Path) -> tuple[dict[str, Tensor], list[Any]]:
    """The tensors by name, where it is plain which they are; nothing is passed over."""
    if type(value) is not dict:
        raise CheckpointError(f"{path}: holds {shown(value)}, not a state dict; {ADVICE}")
    if _all_tensors(value):
        return value, []
    inside = [name for name in WRAPPERS if type(value.get(name)) is dict and value[name] and _all_tensors(value[name])]
    if len(inside) == 1 and not any(isinstance(item, Tensor) for item in value.values()):
        return value[inside[0]], []
    bad = next(key for key, item in value.items() if type(key) is not str or not isinstance(item, Tensor))
    if len(inside) > 1:
        reason = f"holds weights under {' and '.join(inside)}; only one of them can be meant"
    elif type(bad) is not str:
        reason = f"holds something under {shown(bad)}, and names are texts"
    else:
        reason = f"holds {shown(value[bad])} under {shown(bad)}, not a tensor"
    raise CheckpointError(f"{path}: {reason}; {ADVICE}")


def _tensors_among(value: object, path: Path) -> tuple[dict[str, Tensor], list[Any]]:
    """The tensors by name among other things, and the names of those."""
    if type(value) is not dict:
        raise CheckpointError(f"{path}: holds {shown(value)}, not a state dict; {ADVICE}")
    inside = [name for name in WRAPPERS if type(value.get(name)) is dict and _any_tensor(value[name])]
    if len(inside) > 1:
        raise CheckpointError(
            f"{path}: holds weights under {' and '.join(inside)}; only one of them can be meant; {ADVICE}"
        )
    if not inside and not _any_tensor(value):
        raise CheckpointError(
            f"{path}: holds no weights, neither as they are nor under {', '.join(WRAPPERS)}; {ADVICE}"
        )
    found = value[inside[0]] if inside else value
    beside = [name for name in value if name not in inside] if inside else []
    skipped = [name for name, item in found.items() if not isinstance(item, Tensor)]
    return {name: item for name, item in found.items() if isinstance(item, Tensor)}, [*beside, *skipped]


def _any_tensor(value: dict[Any, Any]) -> bool:
    return any(type(key) is str and isinstance(item, Tensor) for key, item in value.items())


def _notes(path: Path, skipped: list[Any]) -> tuple[str, ...]:
    """One line that names what was passed over."""
    names = [shown(name)[1:-1] if isinstance(name, str) else "something without a name" for name in skipped]
    return (f"{path}: skipped what is no weight: {some(names)}",) if names else ()


def _all_tensors(value: dict[Any, Any]) -> bool:
    return all(type(key) is str and isinstance(item, Tensor) for key, item in value.items())


def _checked_view(tensor: Tensor) -> View:
    """A tensor, once it is sure that its elements lie in its storage. `ValueError` saying what is wrong.

    A view that repeats elements (stride 0) may not have more than its storage: a few bytes could stand for any number.
    """
    shape, stride, offset = checked_shape(tensor.shape), tensor.stride, tensor.offset
    if not isinstance(stride, list | tuple) or len(stride) != len(shape):
        raise ValueError(f"its strides are not {len(shape)} whole numbers from 0")
    if any(type(step) is not int or step < 0 for step in stride):
        raise ValueError(f"its strides are not {len(shape)} whole numbers from 0")
    if type(offset) is not int or offset < 0:
        raise ValueError(f"its offset is {shown(offset)}, not a whole number from 0")
    steps = tuple(step if n > 1 else 0 for n, step in zip(shape, stride, strict=True))  # others are never taken
    span = 0 if 0 in shape else 1 + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    size, item = bytes_of(shape, tensor.dtype), bytes_of((), tensor.dtype)
    start, end = offset * item, (offset + span) * item
    if max(end, size) > tensor.storage.size:
        raise ValueError(
            f"it needs {shown(max(end, size))} bytes of storage {shown(tensor.storage.key)}, "
            f"which has {tensor.storage.size}"
        )
    return View(tensor.storage, tensor.dtype, shape, steps, size, start, end)
