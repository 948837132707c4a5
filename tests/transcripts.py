"""Transcripts of the pages, `console` blocks: run, and compared with what is shown.

A transcript shows commands after "$ " and what each prints; a line `[...]` stands for any lines. Figures differ from
machine to machine, so in both texts they are masked (`FIGURES`); numbers of tensors, layers and tokens are not.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import cli_helpers
from .pages import ROOT

FIGURES = (
    (r"(?m)^.*[█▁▂▃▄▅▆▇].*$", "bar"),  # charts: a bar's length, and beside predictions the likeliest words
    (r"\([^()]*largest: [^()]*\)", "(largest)"),  # the bin or channel with the largest error
    (r"worst at .*", "worst at"),
    (r"\([\d.e+-]+ -> [\d.e+-]+\)", "(# -> #)"),  # errors with and without a cause
    (r"\d+ ruled out at (\S+) \([^()]*\)", r"# ruled out at \1 (#)"),  # grows with the list of causes
    (r"(?<=[!~])[\d.e+-]+", "#"),  # cells of maps: errors in units of the noise floor
    (r"[\d,.]+(?:e[+-]?\d+)?(?= (?:times|tokens/s)\b)", "#"),
    (r"-?\d[\d,]*\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+|\d+%", "#"),
    (r"[ \t]+", " "),
    (r"(?m) $", ""),
)
"""Pattern -> what stands for it."""
BARS = re.compile(r"(?:bar\n)+")


def masked(text: str) -> str:
    """The text without its figures, and without blanks that only align them."""
    for pattern, replacement in FIGURES:
        text = re.sub(pattern, replacement, text)
    return BARS.sub("bar\n", text)


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """Each command with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown.rstrip("\n") + "\n" if shown.strip() else ""


def matches(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows."""
    pieces = re.split(r"^\[\.\.\.\]\n", shown, flags=re.MULTILINE)
    return re.fullmatch("(?:.*\n)*".join(re.escape(masked(piece)) for piece in pieces), masked(printed)) is not None


def run(command: str, folder: Path) -> str:
    """What a command of a transcript prints, on both streams."""
    words = shlex.split(command)
    starts = {"bertref": cli_helpers.command(), "python": [sys.executable], "pytest": PYTEST}
    done = subprocess.run(
        [*starts.get(words[0], words[:1]), *words[1:]], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", timeout=900,
        env=cli_helpers.environment(PYTHONPATH=str(ROOT), BERTREF_CACHE=str(folder / "cache"), **PLAIN),
    )  # fmt: skip
    return done.stdout


PLAIN = {
    "PYTHONUNBUFFERED": "1", "CI": "", "BUILD_NUMBER": "", "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}  # fmt: skip
"""Both streams in the order of writing; pytest as a person runs it, not as it is inside of these tests or in CI."""
PYTEST = [sys.executable, "-m", "pytest", "-p", "bertref.verify.pytest_plugin", "-p", "no:cacheprovider"]
"""The plugin is named, because pytest finds it by itself only where the package is installed."""
