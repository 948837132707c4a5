"""How a classifier answers for texts that are longer than it reads, where its folder says so: through windows.

`config.json` has `"bertref_windows": {"max_length": 256, "stride": 127}`; other programs pass over the key.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import InputError

KEY = "bertref_windows"


class TextWindows(NamedTuple):
    """Tokens of a window with [CLS] and [SEP], and how far apart windows begin; None: half of what they show."""

    max_length: int
    stride: int | None = None


def windows_of(values: Mapping[str, Any], positions: int, where: str) -> TextWindows | None:
    """The windows that a config's values record, None if they don't. Raises `InputError` for windows that make no sense
    and for longer ones than the model has positions."""
    stored = values.get(KEY)
    if stored is None:
        return None
    if not isinstance(stored, dict) or not stored.keys() <= set(TextWindows._fields):
        keys = " and ".join(TextWindows._fields)
        raise InputError(f"{where}: {KEY} is {stored!r}; an object with {keys} is expected")
    length, stride = stored.get("max_length"), stored.get("stride")
    if not isinstance(length, int) or not 3 < length <= positions:
        raise InputError(f"{where}: {KEY} says max_length {length!r}; it must be in 4 to {positions}, the positions")
    if stride is not None and (not isinstance(stride, int) or stride < 1):
        raise InputError(f"{where}: {KEY} says stride {stride!r}; it must be at least 1")
    return TextWindows(length, stride)


def windows_to_dict(windows: TextWindows | None) -> dict[str, Any]:
    """The key of a config.json from which `windows_of` reads them."""
    if windows is None:
        return {}
    return {KEY: {name: value for name, value in windows._asdict().items() if value is not None}}
