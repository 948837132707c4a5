"""A pickle read as data: nothing in it is ever looked up, imported or called.

A pickle is a program for a stack machine, and two of its instructions name and call functions. This machine knows the
few instructions that `torch.save` writes for weights and the few names in `GLOBALS`; what Python's own would call, it
records (`Storage`, `Tensor`). Any other name or instruction ends the reading with an error that says which.

It is not built on `pickle.Unpickler`, because that one can be made to spend memory by a few bytes: it allocates its
memo up to the largest index, buffers by their announced length, and hashes whatever is used as a key. Here a step costs
a bounded amount, and the number of steps and of bytes is bounded.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import CheckpointError
from .pickle_names import FOREIGN, GLOBALS, REBUILDS, SAME, Name, Opaque, Refused, Storage, storage_of, tensor_of
from .raw import shown

LONGEST = 1 << 24
"""Bytes of a pickle; a large BERT's has 0.06 million."""
_LARGEST_KEY = 1 << 31
"""Of a dict, where it is a number: the state of an optimiser has such keys."""
MOST_STEPS = 1 << 18
"""Instructions in a pickle; a large BERT's has 12,000. At up to 200 bytes each, that many take 50 MB."""


@dataclass(frozen=True)
class Pickle:
    """What a pickle holds, the storages that it refers to by key, and where it ends.

    `value` is a text, bytes, a number, None, a tuple, list or dict (for an ordered one, too), or a `Tensor`. It may
    contain itself: walk it with care.
    """

    value: Any
    storages: dict[str, Storage]
    end: int


_NUMBERS = {
    b"\x80": struct.Struct("<B"),  # PROTO
    b"\x95": struct.Struct("<Q"),  # FRAME
    b"K": struct.Struct("<B"),
    b"M": struct.Struct("<H"),
    b"J": struct.Struct("<i"),
    b"G": struct.Struct(">d"),
    b"q": struct.Struct("<B"),  # BINPUT
    b"r": struct.Struct("<I"),
    b"h": struct.Struct("<B"),  # BINGET
    b"j": struct.Struct("<I"),
}
"""Instructions that are followed by a number."""

_COUNTED: dict[bytes, tuple[struct.Struct, Callable[[bytes], object]]] = {
    b"X": (struct.Struct("<I"), lambda data: data.decode("utf-8")),
    b"\x8c": (struct.Struct("<B"), lambda data: data.decode("utf-8")),
    b"\x8d": (struct.Struct("<Q"), lambda data: data.decode("utf-8")),
    b"U": (struct.Struct("<B"), lambda data: data.decode("latin-1")),
    b"T": (struct.Struct("<I"), lambda data: data.decode("latin-1")),
    b"C": (struct.Struct("<B"), bytes),
    b"B": (struct.Struct("<I"), bytes),
    b"\x8e": (struct.Struct("<Q"), bytes),
    b"\x8a": (struct.Struct("<B"), lambda data: int.from_bytes(data, "little", signed=True)),
}
"""Instructions that are followed by a length and as many bytes, which are pushed: texts, bytes, long integers."""

_CONSTANTS: dict[bytes, object] = {b"N": None, b"\x88": True, b"\x89": False}


def read_pickle(data: bytes, start: int, where: str, kind: "type[Machine] | None" = None) -> Pickle:
    """The pickle at `start`, read by a machine of some `kind` (`Machine`, or one that skips what is no tensor).

    Raises `CheckpointError` beginning with `where`."""
    machine = (kind or Machine)(data, start)
    try:
        return Pickle(machine.run(), machine.storages, machine.at)
    except struct.error:
        reason = "ends in the middle"
    except (Refused, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, Refused) else "has a text that is not UTF-8"
    raise CheckpointError(f"{where}: the pickle {reason}")


class Machine:
    """The stack machine. A mark puts the stack aside and starts a new one."""

    actions: ClassVar[dict[bytes, Callable[[Any], None]]]

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.steps = 0

    def run(self) -> Any:
        while True:
            self.spend(1)
            code = self.take(1)
            if code == b".":
                return self.pop()
            if code in _CONSTANTS:
                self.push(_CONSTANTS[code])
            elif code in _NUMBERS:
                self.number(code, self.unpack(_NUMBERS[code]))
            elif code in _COUNTED:
                length, convert = _COUNTED[code]
                self.push(convert(self.take(self.unpack(length))))
            elif code in self.actions:
                self.actions[code](self)
            else:
                raise Refused(f"has the instruction {code!r}, which torch.save does not write for weights")

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise Refused(f"takes more than {MOST_STEPS} steps; refused")

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise struct.error
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, form: struct.Struct) -> Any:
        return form.unpack(self.take(form.size))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + 1000)
        if end < 0:
            raise Refused("has a name without an end")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise Refused("takes a value where there is none")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise Refused("needs a value where there is none")
        return self.stack[-1]

    def number(self, code: bytes, value: Any) -> None:
        if code == b"\x80":
            if value > 5:
                raise Refused(f"has protocol {value}, which does not exist")
        elif code in (b"q", b"r"):
            self.memo[value] = self.top()
        elif code in (b"h", b"j"):
            if value not in self.memo:
                raise Refused(f"refers to value {value}, which it never stored")
            self.push(self.memo[value])
        elif code != b"\x95":
            self.push(value)
        elif value > len(self.data) - self.at:
            raise struct.error

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            raise Refused("closes a group that it never opened")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def pop_several(self, count: int) -> list[Any]:
        """The last values, in the order in which they were pushed."""
        return [self.pop() for _ in range(count)][::-1]

    def dict_of_mark(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.set_items(items)

    def drop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def drop_mark(self) -> None:
        self.pop_mark()

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            raise Refused(f"appends to {shown(target)}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not dict or len(items) % 2:
            raise Refused(f"sets items of {shown(target)}")
        self.fill(target, zip(items[::2], items[1::2], strict=True))

    def refer(self, module: object, name: object) -> None:
        """A global: one of `GLOBALS`, or the end."""
        full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
        if full in GLOBALS:
            self.push(GLOBALS[full])
            return
        text = shown(full)[1:-1] or "something without a name"
        if full.startswith("torch.") and full.endswith(("Storage", *FOREIGN)):
            raise Refused(f"is refused: it holds {text}, numbers of a kind that is not supported for weights")
        raise Refused(
            f"is refused: it calls for {text}, which is no part of saved weights; nothing was executed.\n"
            "Save the weights alone, with torch.save(model.state_dict(), FILE) or as safetensors"
        )

    def build(self) -> None:
        """State for an object: the `_metadata` of a state dict, which says nothing about its tensors."""
        self.pop()
        if type(self.top()) is not dict:
            raise Refused(f"sets attributes of {shown(self.top())}")

    def call(self) -> None:
        """What Python's machine would call; arguments first, in a tuple."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or type(arguments) is not tuple:
            raise Refused(f"calls {shown(function)}")
        name = function.name.rsplit(".", 1)[-1]
        if name == "OrderedDict" and len(arguments) <= 1:
            self.push(self.ordered(arguments[0] if arguments else []))
        elif name in SAME and len(arguments) == SAME[name][0] and type(arguments[0]) is SAME[name][1]:
            self.push(arguments[0])
        elif name in REBUILDS and len(arguments) in REBUILDS[name]:
            self.push(tensor_of(name, arguments))
        else:
            raise Refused(f"calls {function.name} with arguments that torch.save does not write")

    def ordered(self, pairs: object) -> dict[Any, Any]:
        """An ordered dict from the pairs that Python 2 hands to its constructor."""
        if type(pairs) is not list or any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
            raise Refused("makes an OrderedDict of something else than pairs")
        self.spend(len(pairs))  # the list can be used again and again
        return self.fill({}, ((pair[0], pair[1]) for pair in pairs))

    def persistent(self) -> None:
        """Something outside the pickle: a storage, always described alike."""
        storage = storage_of(self.pop())
        if self.storages.setdefault(storage.key, storage) != storage:
            raise Refused(f"describes storage {shown(storage.key)} in two ways")
        self.push(storage)

    def fill(self, target: dict[Any, Any], pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        """Sets new items."""
        for key, value in pairs:
            if not is_key(key):
                raise Refused(f"has {shown(key)} as a key")
            if key in target:
                raise Refused(f"has the name {shown(key)} twice")
            target[key] = value
        return target


def is_key(value: object) -> bool:
    """Whether a value may be a key: to look it up must cost nothing. A tuple takes for ever to hash, and huge integers
    can be chosen so that all of them collide."""
    return type(value) in (str, bytes, bool, type(None), Opaque) or (type(value) is int and abs(value) <= _LARGEST_KEY)


Machine.actions = {
    b"(": lambda m: m.mark(),
    b")": lambda m: m.push(()),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b"t": lambda m: m.push(tuple(m.pop_mark())),
    b"l": lambda m: m.push(m.pop_mark()),
    b"d": lambda m: m.dict_of_mark(),
    b"\x85": lambda m: m.push(tuple(m.pop_several(1))),
    b"\x86": lambda m: m.push(tuple(m.pop_several(2))),
    b"\x87": lambda m: m.push(tuple(m.pop_several(3))),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.pop_mark()),
    b"s": lambda m: m.set_items(m.pop_several(2)),
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"0": lambda m: m.drop(),
    b"1": lambda m: m.drop_mark(),
    b"2": lambda m: m.push(m.top()),
    b"\x94": lambda m: m.memo.__setitem__(len(m.memo), m.top()),
    b"c": lambda m: m.refer(m.line(), m.line()),
    b"i": lambda m: m.refer(m.line(), m.line()),
    b"\x93": lambda m: m.refer(*m.pop_several(2)),
    b"R": lambda m: m.call(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.persistent(),
}
"""The other instructions."""
