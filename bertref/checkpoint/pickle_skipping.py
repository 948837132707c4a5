"""A pickle of which only the tensors matter: all else becomes an `Opaque`, and is not looked up or called either.

Lightning's checkpoints, and those of many training loops, hold objects of their callbacks, hyperparameters and
schedulers beside the weights. The strict machine ends at the first such name. This one knows how many values each
instruction takes and puts one placeholder in their place, so that reading goes on to the weights.

Two things are refused still. What stands in a tensor's place must be as torch writes it. And a name with which code is
run is never part of an honest file (`runs_code`): torch itself would call it, so the reader is told.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from .pickle_names import GLOBALS, Opaque, Refused
from .pickle_reader import Machine, is_key
from .raw import shown

_RUNNERS = frozenset(
    """_pickle bdb cPickle cProfile code codeop commands ctypes imp importlib marshal nt os pdb pickle pip posix profile
    pty runpy shutil socket subprocess sys timeit trace webbrowser""".split()
)
"""Modules with functions that run code, start processes or touch files."""
_RUNNER_NAMES = frozenset(
    """_io.open io.open io.open_code joblib.load numpy.load pandas.read_pickle torch.hub.load torch.jit.load torch.load
    torch.serialization.load torch.storage._load_from_bytes types.CodeType types.FunctionType urllib2.urlopen
    urllib.request.urlopen""".split()
)
_RUNNER_BUILTINS = frozenset(
    """__import__ apply breakpoint compile delattr eval exec execfile exit file globals help input locals open quit
    raw_input reload setattr vars""".split()
)
"""Of the module `builtins`, which is `__builtin__` in the pickles of protocol 2."""


def runs_code(module: str, name: str) -> bool:
    """Whether this is known to run code. The list isn't complete, and safety doesn't rest on it: nothing is called."""
    if module in ("builtins", "__builtin__"):
        return name.split(".")[0] in _RUNNER_BUILTINS
    return module.split(".")[0] in _RUNNERS or f"{module}.{name}" in _RUNNER_NAMES


class SkippingMachine(Machine):
    """`Machine`, with a placeholder for every value that is no part of weights."""

    actions: ClassVar[dict[bytes, Callable[[Any], None]]]

    def skip(self) -> None:
        self.push(Opaque())

    def refer(self, module: object, name: object) -> None:
        known = not isinstance(module, str) or not isinstance(name, str) or f"{module}.{name}" in GLOBALS
        if known or runs_code(str(module), str(name)):
            super().refer(module, name)
        else:
            self.skip()

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        given = arguments if type(arguments) is tuple else (arguments,)
        self.spend(len(given))  # the tuple can be used again and again
        if isinstance(function, Opaque) or any(isinstance(argument, Opaque) for argument in given):
            self.skip()
        else:
            self.stack += [function, arguments]
            super().call()

    def make(self, values: int) -> None:
        """An object of a class: the class and its arguments are the last `values`."""
        self.pop_several(values)
        self.skip()

    def make_of_mark(self) -> None:
        self.pop_mark()
        self.skip()

    def instance(self) -> None:
        """An object of a class that is named, its arguments behind a mark."""
        self.pop_mark()
        self.refer(self.line(), self.line())
        self.pop()
        self.skip()

    def build(self) -> None:
        if len(self.stack) > 1 and isinstance(self.stack[-2], Opaque):
            self.pop()
        else:
            super().build()

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.top(), Opaque):
            super().extend(items)

    def add(self, items: list[Any]) -> None:
        """To a set, which is a placeholder."""
        if not isinstance(self.top(), Opaque):
            raise Refused(f"adds to {shown(self.top())}, {len(items)} values")

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.top(), Opaque):
            super().set_items(items)

    def fill(self, target: dict[Any, Any], pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        """An item whose key is no text or number keeps its value under a placeholder."""
        return super().fill(target, ((key if is_key(key) else Opaque(), value) for key, value in pairs))

    def persistent(self) -> None:
        """A storage of a kind that no weights have is skipped, too."""
        given = self.top()
        if type(given) is tuple and len(given) > 1 and isinstance(given[1], Opaque):
            self.pop()
            self.skip()
        else:
            super().persistent()


SkippingMachine.actions = {
    **Machine.actions,
    b"i": lambda m: m.instance(),
    b"o": lambda m: m.make_of_mark(),
    b"\x81": lambda m: m.make(2),
    b"\x92": lambda m: m.make(3),
    b"\x8f": lambda m: m.skip(),
    b"\x90": lambda m: m.add(m.pop_mark()),
    b"\x91": lambda m: m.make_of_mark(),
}
"""With the instructions for objects (INST, OBJ, NEWOBJ, NEWOBJ_EX) and sets (EMPTY_SET, ADDITEMS, FROZENSET)."""
