"""What the pages say holds: the README.md of every room names files, commands and options that exist, its Python runs,
its transcripts are what the commands print, and its tables are the code's."""

import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

from bertref import Numerics, backends, golden
from bertref.cli.main import COMMANDS
from bertref.cli.main import bertref as group

from . import cli_helpers, small_run, transcripts
from .pages import ROOT, Block, Page, packages, readmes

README = Page(ROOT / "README.md")
READMES = readmes()
OTHERS = ("CONTRIBUTING.md", "CHANGELOG.md", "bertref/verify/from-report-to-fix.md")
PAGES = [*READMES, *(Page(ROOT / name) for name in OTHERS)]
INSTALL = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/bertref pretrain"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"

LARGEST = 8000
"""Bytes of the first page."""
LINES = 30
"""Of a room's page, but for those of `LONG`."""
LONG = {"README.md", *(f"{room}/README.md" for room in (
    "backends", "bertref", "bertref/bench", "bertref/checkpoint", "bertref/data/tasks", "bertref/default_model",
    "bertref/default_model/model", "bertref/train/finetuning",
    "bertref/verify", "cli", "golden", "tests", "tests/verify/mistakes",
))}  # fmt: skip

each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def page_of(room: str) -> Page:
    return Page(ROOT / room / "README.md")


def parse(line: str) -> None:
    """Raises a click exception unless the command line is one that bertref understands; runs nothing."""
    _, name, *arguments = shlex.split(line, comments=True)
    command = group.get_command(click.Context(group), name)
    if command is None:
        raise click.UsageError(f"no command {name}")
    if isinstance(command, click.Group):
        name, *arguments = arguments or [""]
        found = command.get_command(click.Context(command), name)
        if found is None:
            raise click.UsageError(f"no such command: {line}")
        command = found
    command.make_context(name, arguments)


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def known_options() -> set[str]:
    """Of all commands, and pytest's own in this project."""
    known = {"--slow", "--help"}
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        known |= {option for parameter in command.params for option in parameter.opts}
    return known


# What every page has to be


def test_the_first_page_is_short() -> None:
    assert len(README.text.encode()) <= LARGEST


@pytest.mark.parametrize("page", [p for p in READMES if p.name not in LONG], ids=lambda page: page.name)
def test_a_rooms_page_is_short(page: Page) -> None:
    assert len(page.text.splitlines()) <= LINES


@pytest.mark.parametrize("room", packages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_room_has_a_page_that_names_its_modules(room: Path) -> None:
    modules = {path.name for path in room.glob("*.py")} - {"__init__.py"}
    if room.name == "generate":
        modules -= {"__main__.py"}  # the page names its command
    assert (room / "README.md").is_file()
    assert sorted(modules - set(Page(room / "README.md").spans)) == [], "add them to the room's README.md"


def test_every_page_is_reached_from_the_first() -> None:
    seen, todo = set(), [README.path]
    while todo:
        path = todo.pop()
        if path.name.endswith(".md") and path not in seen:
            seen.add(path)
            todo += [(path.parent / link.partition("#")[0]).resolve() for link in Page(path).links]
    assert {page.path for page in READMES} <= seen


# Names of files, commands, options


@each_page
def test_files_and_links_exist(page: Page) -> None:
    assert page.missing_files() == []
    assert page.broken_links() == []


@each_page
def test_modules_and_names_exist(page: Page) -> None:
    assert [name for name in (*page.names, *page.modules) if not exists(name)] == []


@each_page
def test_every_command_line_parses(page: Page) -> None:
    assert set(page.named_commands) <= set(COMMANDS)
    for line in page.commands:
        parse(line)


@each_page
def test_every_option_that_is_named_exists(page: Page) -> None:
    """`--resume` and the like in the prose belong to a command; `--slow` and `--backend` to pytest as well."""
    assert page.options <= known_options()


def test_every_command_is_shown() -> None:
    assert {shlex.split(line)[1] for page in READMES for line in page.commands} == set(COMMANDS)
    assert README.table("Command") == [[f"`{name}`", text] for name, text in COMMANDS.items()]


def test_a_wrong_page_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "# Top\nSee `bertref/no_such.py`, `no_such.py`, `bertref.no_such`, [a](no.md), [b](#none), [c](#top), "
        "`bertref pretrain --no-such 3`.\n\n```sh\n.venv/bin/bertref no-such\npython -m bertref.no_such\n```\n\n"
        "```console\n$ bertref golden no-such\n```\n",
        encoding="utf-8",
    )
    page = Page(path)
    assert page.missing_files() == ["bertref/no_such.py", "no_such.py"]
    assert page.broken_links() == ["no.md", "#none"]
    assert [exists(name) for name in (*page.names, *page.modules)] == [False, False]
    assert page.commands == ["bertref no-such", "bertref golden no-such", "bertref pretrain --no-such 3"]
    for line in (*page.commands, "bertref pretrain --layout sideways", "bertref vocab", "bertref golden"):
        with pytest.raises(click.ClickException):
            parse(line)


# What the pages show is what happens


def given(folder: Path, text: str, request: pytest.FixtureRequest) -> None:
    """Puts into a folder what the commands of a text read: files that pages show, the program in C, real weights."""
    for block in (block for page in READMES for block in page.blocks if block.file):
        (folder / str(block.file)).write_text(block.text, encoding="utf-8")
    shutil.copy(ROOT / "tests/verify/subjects/examples/numpy_bert.py", folder)
    (folder / "golden").symlink_to(golden.FOLDER)
    (folder / "notes.txt").write_text(small_run.text(), encoding="utf-8")
    for name, weights in {"toy_bert": "keras_bert_toy_tf_checkpoint", "bert-tiny": "bert_tiny_splade_mlm"}.items():
        if name in text:
            data: Path = request.getfixturevalue("data_dir")
            (folder / name).symlink_to(data / "weights" / weights)


def shown() -> list[Any]:
    """The transcripts, in the order of the pages: those of a page that are slow go together."""
    found = []
    for page in READMES:
        for note, marks in (("", []), ("slow", [pytest.mark.slow])):
            texts = [block.text for block in page.blocks if block.language == "console" and block.note == note]
            if texts:
                found.append(pytest.param(texts, id=f"{page.name}{note and '-' + note}", marks=marks))
    return found


@pytest.mark.parametrize("texts", shown())
def test_commands_print_what_is_shown(texts: list[str], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "$ cc " in "".join(texts) and shutil.which("cc") is None:
        pytest.skip("no C compiler (cc, gcc or clang) is installed")
    given(tmp_path, "".join(texts), request)
    for text in texts:
        for command, wanted in transcripts.sessions(text):
            printed = transcripts.run(command, tmp_path)
            assert transcripts.matches(wanted, printed), f"$ {command}\n{printed}"


def test_a_wrong_transcript_is_seen() -> None:
    printed = "loss 8.356  words 7%\nkept\n  5.99%  the  █\n 12 read; 0 missing\ntook 3.5 s\n"
    matches = partial(transcripts.matches, printed=printed)
    assert matches("loss 7.1  words 12%\nkept\n  4.1%  of  ███\n12 read; 0 missing\n[...]\n".replace("\n12", "\n 12"))
    assert matches("[...]\nkept\n[...]\n")
    assert not matches("[...]\nlost\n[...]\n")
    assert not matches("loss 7.1  words 12%\nkept\n[...]\n 13 read; 0 missing\n[...]\n")
    assert not matches("kept\n[...]\n")


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, encoding="utf-8",
                          env=cli_helpers.environment(PYTHONPATH=str(ROOT)), timeout=300)  # fmt: skip


def examples() -> list[Any]:
    """The blocks of Python that are whole programs, but for the first page's, which a test of its own reads."""
    blocks = [(page, block) for page in READMES[1:] for block in page.blocks if block.language == "python"]
    return [pytest.param(block, id=f"{page.name}-{i}") for i, (page, block) in enumerate(blocks) if not block.file]


@pytest.mark.parametrize("block", examples())
def test_python_runs(block: Block, tmp_path: Path) -> None:
    done = python(block.text, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_first_pages_python_runs(tmp_path: Path) -> None:
    (code,) = README.code("python")
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 11, "an import and ten lines"
    (tmp_path / "notes.txt").write_text(small_run.text(), encoding="utf-8")
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    finished, mask, follows, encoded, probs = done.stdout.splitlines()
    status, loss, unigram = finished.split()
    assert status == "finished"
    assert 0 < float(loss) < 20
    assert 0 < float(unigram) < 20
    assert re.fullmatch(r"3 \[\('.+', 0\.\d+.*\), \('.+', .*\), \('.+', .*\)\]", mask)
    assert 0 < float(follows) < 1
    assert re.fullmatch(r"\(2, \d+, 128\)", encoded)
    assert re.fullmatch(r"\(1, 2, (\d+), \1\)", probs)


def test_a_whole_file_that_is_shown_is_the_one_in_the_tests() -> None:
    example = ROOT / "tests" / "verify" / "subjects" / "examples" / "numpy_bert.py"
    assert example.read_text(encoding="utf-8") in page_of("bertref/verify").code("python")


# Commands and tables that stand elsewhere, too


def test_the_two_commands_are_there_and_run_in_ci() -> None:
    lines = "".join(README.code("sh")).splitlines()
    assert INSTALL in lines
    assert TEST in lines
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^step pip install .*-e '\.\[test\]'$", script, re.MULTILINE)
    assert re.search(r"^step pytest$", script, re.MULTILINE)


def test_the_versions_are_those_that_ci_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    *most, last = re.findall(r'"(3\.\d+)"', workflow)
    assert f"Python {', '.join(most)} and {last}" in README.prose
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={most[0]}"
    assert f"Python {most[0]} or newer" in README.prose
    assert f"Version {project['version']}" in README.prose


def test_the_dialects_are_those_of_the_code() -> None:
    def shown(value: Any) -> str:
        return ", ".join(value) if isinstance(value, tuple) else str(value)

    ours, googles = Numerics.preset("huggingface"), Numerics.preset("google")
    assert page_of("bertref").table("Choice") == [
        [f"`{field.name}`", shown(getattr(ours, field.name)), shown(getattr(googles, field.name))]
        for field in fields(Numerics)
    ]


def test_the_backends_are_those_of_the_code() -> None:
    rows = {row[0].strip("`"): row[1] for row in page_of("backends").table("`--backend`")}
    built_in = {name for name in backends.names() if name != "strict"}
    assert {name.split(":")[0] for name in rows} >= built_in & {"numpy", "torch", "cupy"}
    for name in ("numpy", "torch"):
        assert sorted(re.findall(r"b?float\d+", rows[name])) == sorted(backends.get(name).dtypes)


def test_the_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"pip install (?:-e )?'(?:\.|bertref)\[(\w+)\]'", "".join(page.text for page in READMES)))
    assert named >= {"test", "torch", "cupy", "mkl", "onnx"}
    assert named <= project["optional-dependencies"].keys()
