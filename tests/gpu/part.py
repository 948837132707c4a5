"""One part, in the process that the runner gives it: `python -m tests.gpu.part NAME --out DIR [--dry]`."""

import argparse
import sys
import traceback
from importlib import import_module
from pathlib import Path

from .context import Context, PartFailed
from .parts import PARTS


def run(name: str, context: Context) -> int:
    """The exit status; an error is reported in a line before it."""
    module = {part.name: part.module for part in PARTS}[name]
    try:
        import_module(f"{__package__}.{module}").run(context)
    except PartFailed as error:
        context.report(error=str(error))
        return 1
    except BaseException as error:
        context.report(error=first_line(error), traceback=traceback.format_exc()[-3000:])
        raise
    return 0


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its words."""
    return f"{type(error).__name__}: {(str(error) or 'no message').split(chr(10))[0][:300]}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.gpu.part")
    parser.add_argument("name", choices=[part.name for part in PARTS])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    sys.exit(run(given.name, Context(given.name, given.out, given.dry, given.seconds)))


if __name__ == "__main__":
    main()
