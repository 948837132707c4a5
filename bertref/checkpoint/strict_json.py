"""JSON that a stranger wrote: one meaning or none.

Python's parser keeps the last of two equal names and reads NaN; a checker that overlooks the first of two entries has
checked nothing. Both are refused, and so is text so long or so deep that parsing it would cost memory or the stack.
"""

import json
from typing import Any

from .raw import shown

LONGEST = 1 << 23
"""Bytes: some fifty thousand tensors. Python needs up to 20 times as much for what is in them."""


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data` (UTF-8). Raises `ValueError` saying what is wrong."""
    if len(data) > LONGEST:
        raise ValueError(f"has {len(data)} bytes of JSON; at most {LONGEST} are read")
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except _Refused:
        raise
    except RecursionError:
        raise ValueError("is JSON nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except ValueError as error:
        raise ValueError(f"is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"is {shown(value)}, not a JSON object")
    return value


class _Refused(ValueError):
    """A reason that is already worded."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise _Refused(f"has the name {shown(name)} twice")
        if any("\ud800" <= char <= "\udfff" for char in name):
            raise _Refused(f"has the name {shown(name)}, which is no valid text")
        result[name] = value
    return result


def _no_number(text: str) -> float:
    raise _Refused(f"has {text}, which is no JSON number")
