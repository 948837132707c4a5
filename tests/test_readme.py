"""What the README says holds: its files exist, its commands parse, its Python runs, its tables are the code's."""

import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from bertref import Numerics, backends
from bertref.cli.main import COMMANDS
from bertref.cli.main import bertref as group
from tests import cli_helpers, small_run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
TOP = ("bertref", "backends", "cli", "golden", "tests", ".ci", ".github")
INSTALL = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/bertref pretrain"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """The inline code outside of fenced blocks, with line breaks as blanks."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]


def files(text: str) -> list[str]:
    """The spans that name something in the repository."""
    named = (span for span in spans(text) if " " not in span)
    return [s for s in named if ("/" in s and s.split("/")[0] in TOP) or re.fullmatch(r"[A-Z]+(\.md)?", s)]


def commands(text: str) -> list[str]:
    """The `bertref ...` command lines, from `sh` blocks and from inline code."""
    lines = [part.strip() for block in blocks(text, "sh") for line in block.splitlines() for part in line.split("&&")]
    lines = [line.removeprefix(".venv/bin/") for line in lines + spans(text)]
    return [line for line in lines if line.startswith("bertref ")]


def parse(line: str) -> None:
    """Raises a click exception unless the command line is one that bertref understands; runs nothing."""
    _, name, *arguments = shlex.split(line, comments=True)
    command = group.get_command(click.Context(group), name)
    if command is None:
        raise click.UsageError(f"no command {name}")
    command.make_context(name, arguments)


def table(header: str) -> list[list[str]]:
    """The rows of the table whose first heading cell is `header`."""
    lines = README[README.index(f"| {header} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: str) -> None:
    named = files((ROOT / page).read_text(encoding="utf-8"))
    assert page == "CHANGELOG.md" or len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("line", commands(README))
def test_every_command_line_parses(line: str) -> None:
    parse(line)


def test_every_command_is_shown() -> None:
    assert {shlex.split(line)[1] for line in commands(README)} == set(COMMANDS)


def test_a_wrong_page_is_seen() -> None:
    page = "See `bertref/no_such.py` and `bertref pretrain --no-such 3`.\n\n```sh\n.venv/bin/bertref no-such\n```\n"
    assert [name for name in files(page) if not (ROOT / name).exists()] == ["bertref/no_such.py"]
    assert commands(page) == ["bertref no-such", "bertref pretrain --no-such 3"]
    for line in (*commands(page), "bertref pretrain --layout sideways", "bertref vocab"):
        with pytest.raises(click.ClickException):
            parse(line)


def test_every_option_that_is_named_exists() -> None:
    """`--resume` and the like in the prose belong to a command; `--slow` and `--backend` to pytest as well."""
    known = {"--slow"}
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        known |= {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {span.split()[0] for span in spans(README) if span.startswith("--")} <= known


def test_the_two_commands_are_there_and_run_in_ci() -> None:
    shown = "".join(blocks(README, "sh"))
    assert INSTALL in shown
    assert TEST in shown
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^step pip install .*-e '\.\[test\]'$", script, re.MULTILINE)
    assert re.search(r"^step pytest$", script, re.MULTILINE)


def test_the_other_python_blocks_are_the_projects_own() -> None:
    """They compile; a whole file that is shown is the file in the tests; the wrong model is found to be wrong."""
    found = [code for code in blocks(README, "python") if not code.startswith("import bertref\n")]
    for code in found:
        compile(code, "README.md", "exec")
    example = ROOT / "tests" / "verify" / "subjects" / "examples" / "numpy_bert.py"
    assert example.read_text(encoding="utf-8") in found


def test_the_python_example_runs(tmp_path: Path) -> None:
    code = next(code for code in blocks(README, "python") if code.startswith("import bertref\n"))
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 11, "an import and ten lines"
    (tmp_path / "notes.txt").write_text(small_run.text(), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
                          env=cli_helpers.environment(PYTHONPATH=str(ROOT)), timeout=300)  # fmt: skip
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


def test_the_dialects_are_those_of_the_code() -> None:
    def shown(value: Any) -> str:
        return ", ".join(value) if isinstance(value, tuple) else str(value)

    ours, googles = Numerics.preset("huggingface"), Numerics.preset("google")
    assert table("Choice") == [
        [f"`{field.name}`", shown(getattr(ours, field.name)), shown(getattr(googles, field.name))]
        for field in fields(Numerics)
    ]


def test_the_backends_are_those_of_the_code() -> None:
    rows = {row[0].strip("`"): row[1] for row in table("`--backend`")}
    built_in = {name for name in backends.names() if name != "strict"}
    assert {name.split(":")[0] for name in rows} >= built_in & {"numpy", "torch", "cupy"}
    for name in ("numpy", "torch"):
        assert sorted(re.findall(r"b?float\d+", rows[name])) == sorted(backends.get(name).dtypes)


def test_the_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"pip install (?:-e )?'\.\[(\w+)\]'", README))
    assert named
    assert named <= project["optional-dependencies"].keys()
