"""Streams in any encoding: escapes that JSON reads back, and drawings in characters that the encoding has."""

import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from rich.console import Console

from bertref.cli import render, streams
from bertref.cli.main import COMMANDS
from bertref.cli.texts import Line, count_texts, read_lines
from bertref.errors import InputError
from tests.cli_helpers import bertref, in_process


def prepared(encoding: str, monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What is written to a standard output of this encoding."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    streams.prepare()
    return raw


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8", "US-ASCII", "utf-16"])
def test_json_is_read_back(encoding: str) -> None:
    @given(st.text(st.characters(exclude_categories=())))
    def check(text: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            raw = prepared(encoding, patch)
            sys.stdout.write(json.dumps(text, ensure_ascii=False))
            assert json.loads(raw.getvalue().decode(encoding)) == text

    check()


def test_other_streams_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        streams.prepare()
        assert sys.stdout is stream


@pytest.mark.parametrize(("encoding", "plain"), [("utf-8", False), ("cp437", False), ("cp1252", True), ("ascii", True)])
def test_what_is_drawn_is_in_the_encoding(encoding: str, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = prepared(encoding, monkeypatch)
    monkeypatch.setattr(render, "out", Console(file=sys.stdout))
    render._bars([(0.5, "é")])
    text = raw.getvalue().decode(encoding)
    assert ("#" * 10 in text, "█" * 10 in text) == (plain, not plain)


def test_a_curve_is_drawn_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "err", Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii")))
    lines = render.curve([(step, 10.0 - step) for step in range(9)])
    assert all(line.isascii() for line in lines)
    assert any("#" in line for line in lines)
    assert len(render.PLAIN_BLOCKS) == len(render.BLOCKS)


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_plain(command: list[str]) -> None:
    run = in_process if command else bertref
    done = run(*command, "--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_lines_are_numbered_as_in_an_editor(tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_bytes(b"\xef\xbb\xbfa\r\n\n \nb\xef\xbb\xbf")
    assert list(read_lines((), str(file))) == [Line("a", 1), Line("b\ufeff", 4)]
    assert list(read_lines((), str(file), empty=True)) == [Line("a", 1), Line("", 2), Line(" ", 3), Line("b\ufeff", 4)]
    assert list(read_lines(("a", ""), None)) == [Line("a"), Line("")]
    file.write_bytes(b"a\n\xff\n")
    with pytest.raises(InputError, match=r"t\.txt, line 2: not UTF-8"):
        list(read_lines((), str(file)))


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert count_texts((), str(pipe)) is None
    writer = threading.Thread(target=pipe.write_text, args=("a\nb\n",), daemon=True)
    writer.start()
    assert [line.text for line in read_lines((), str(pipe))] == ["a", "b"]


@pytest.mark.parametrize(("file", "says"), [("none", "no such file"), (".", "can't be read"), ("-", "is closed")])
def test_what_cannot_be_read(file: str, says: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match=says):
        list(read_lines((), file))
