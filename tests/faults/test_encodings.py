"""Output in an encoding that lacks a character is degraded, never a traceback; input may come by any road.

A pipe was "no such file", a byte-order mark shifted places by one, and "█" in cp1252 or ASCII ended in a traceback.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .asking import HERE, bertref, bertref_process
from .models import model

WORDS = "anna met bob . é cafe ##s [ ]".split()
TEXT = "Anna café 日本 😀 met Bob…"
MAIN = "from bertref.cli import main; main()"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models whose labels are words of other alphabets."""
    path = tmp_path_factory.mktemp("encodings")
    model(path / "SequenceClassification", "BertForSequenceClassification", WORDS, labels=["χαρά", "gut"])
    model(path / "TokenClassification", "BertForTokenClassification", WORDS, labels=["O", "B-ΠΡΟΣ", "I-ΠΡΟΣ"])
    model(path / "MaskedLM", "BertForMaskedLM", WORDS)
    model(path / "QuestionAnswering", "BertForQuestionAnswering", WORDS)
    return path


def written(encoding: str, *arguments: str | Path) -> tuple[int, str, str]:
    """What a command writes where both of its streams have this encoding, which must decode it."""
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    environment = {**os.environ, **HERE, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=300, cwd=Path(sys.executable).parent)
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def degraded(text: str, encoding: str) -> str:
    """The text as it is written: escapes for what the encoding lacks."""
    return "".join(char if able(char, encoding) else json.dumps(char)[1:-1] for char in text)


def able(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("SequenceClassification", "ascii"), ("SequenceClassification", "cp1252"), ("SequenceClassification", "cp437"),
        ("TokenClassification", "ascii"), ("MaskedLM", "ascii"), ("QuestionAnswering", "latin-1"),
    ],
)  # fmt: skip
def test_pictures_are_degraded(kind: str, encoding: str, folders: Path) -> None:
    text = f"{TEXT} [MASK]" if kind == "MaskedLM" else TEXT
    options = ["--question", "Anna 日?"] if kind == "QuestionAnswering" else []
    code, out, err = written(encoding, "predict", "--model", folders / kind, *options, text)
    assert code == 0, err
    assert degraded("Anna 日?" if options else text, encoding) in out
    assert ("█" in out or kind == "TokenClassification") if able("█", encoding) else ("█" not in out)
    if kind != "TokenClassification" and not able("█", encoding):
        assert "##" in out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_says_the_same_in_every_encoding(encoding: str, folders: Path) -> None:
    arguments = ["predict", "--json", "--model", folders / "SequenceClassification", TEXT]
    code, out, err = written(encoding, *arguments)
    assert code == 0, err
    assert json.loads(out) == json.loads(bertref(*arguments).stdout)
    code, out, _ = written(encoding, "tokenize", "--json", "--model", folders / "MaskedLM", "é日█")
    assert (code, json.loads(out)["text"]) == (0, "é日█")


def test_messages_are_degraded() -> None:
    code, _, err = written("ascii", "predict", "--model", "Ordner für 日", "x")
    assert (code, degraded("Ordner für 日", "ascii") in err) == (2, True)
    code, _, err = written("ascii", "tokenize", "--日")
    assert (code, "\\u65e5" in err) == (2, True)


@pytest.mark.parametrize("road", ["/dev/stdin", "a pipe with a name", "a process's output"])
def test_texts_come_by_any_road(road: str, folders: Path, tmp_path: Path) -> None:
    arguments = ["tokenize", "--model", folders / "MaskedLM", "--file"]
    if road == "/dev/stdin":
        done = bertref_process(*arguments, road, stdin="Anna\nmet Bob.\n")
    elif road == "a pipe with a name":
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_text("Anna\nmet Bob.\n"), daemon=True)
        writer.start()
        done = bertref(*arguments, pipe)
    else:
        shell = shutil.which("bash")
        if shell is None:
            pytest.skip("no bash here")
        line = f"""exec '{sys.executable}' -c '{MAIN}' "$@" <(printf 'Anna\\nmet Bob.\\n')"""
        command = [shell, "-c", line, "bash", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **HERE}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "anna\nmet bob .\n"), done.stderr


def test_what_exists_is_never_no_such_file(folders: Path, tmp_path: Path) -> None:
    for command in ("tokenize", "predict", "features"):
        done = bertref(command, "--model", folders / "MaskedLM", "--file", tmp_path)
        assert done.returncode == 2
        assert "no such file" not in done.stderr
        assert str(tmp_path) in done.stderr


@pytest.mark.parametrize("road", ["file", "standard input"])
def test_a_byte_order_mark_is_no_text(road: str, folders: Path, tmp_path: Path) -> None:
    text = "\ufeffAnna met Bob.\n"
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    arguments = ["predict", "--json", "--aggregation", "words", "--model", folders / "TokenClassification", "--file"]
    done = bertref(*arguments, tmp_path / "t.txt") if road == "file" else bertref(*arguments, "-", stdin=text)
    found = json.loads(done.stdout)
    assert found["text"] == "Anna met Bob."
    assert [(span["start"], span["end"]) for span in found["spans"]] == [(0, 4), (5, 8), (9, 12), (12, 13)]
