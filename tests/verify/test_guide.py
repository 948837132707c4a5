"""The guide from report to fix: verify prints what is shown of its wrong programs, and its fixes fix them."""

import contextlib
import io
import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from bertref import golden
from tests.cli_helpers import in_process
from tests.pages import ROOT, Block, Page
from tests.transcripts import matches, sessions

from .subjects.onnx.exported import folder

GUIDE = Page(ROOT / "bertref" / "verify" / "from-report-to-fix.md")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)+)", GUIDE.text, re.MULTILINE))
EXAMPLES = ROOT / "tests" / "verify" / "subjects" / "examples"


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a section."""
    return [Block(language, inside, "") for language, inside in
            re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]  # fmt: skip


def change(where: Path, diff: str, *, back: bool = False) -> None:
    """Makes in a file what a diff says, or takes it back."""
    name, _, lines = diff.partition("\n")
    path = where / name.removeprefix("--- ")
    before, after = ("".join(line[1:] + "\n" for line in lines.split("\n") if line and line[0] in kept)
                     for kept in (" -", " +"))  # fmt: skip
    old, new = (after, before) if back else (before, after)
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def printed(command: str, where: Path) -> str:
    """What a command of the guide prints; what can be run in this process is."""
    words = shlex.split(command)
    if words[0] == "bertref":
        return in_process(*words[1:], cwd=where, COLUMNS="120").stdout
    if words[0] == "python":
        heard = io.StringIO()
        with contextlib.chdir(where), contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            runpy.run_path(words[1])
        return ""
    subprocess.run(words, cwd=where, check=True, timeout=120)
    return ""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the right programs."""
    for path in (*EXAMPLES.glob("*.py"), golden.FOLDER / "examples" / "bert_encoder.c"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_guide_shows_is_what_happens(section: str, place: Path) -> None:
    parts = blocks(SECTIONS[section])
    commands = [command for part in parts if part.language == "console" for command, _ in sessions(part.text)]
    if commands[0].startswith("cc ") and shutil.which("cc") is None:
        pytest.skip("no C compiler (cc, gcc or clang) is installed")
    if "--model model" in commands[-1]:
        folder(place / "model")
    for part in parts:
        if part.file:
            (place / part.file).write_text(part.text, encoding="utf-8")
    *_, fix = (part for part in parts if part.language == "diff")
    assert parts[-1] == fix
    change(place, fix.text, back=True)
    for part in parts:
        if part.language == "diff":
            change(place, part.text)
        for command, shown in sessions(part.text) if part.language == "console" else ():
            found = printed(command, place)
            assert matches(shown, found), f"$ {command}\n{found}"
    *_, found = (printed(command, place) for command in dict.fromkeys(commands))
    assert "RIGHT: " in found


def test_the_guide_has_five_examples() -> None:
    assert len(SECTIONS) == 5
