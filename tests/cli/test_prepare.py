"""`bertref prepare` in parts: by any scheduler, and by the processes of torchrun."""

import json
import subprocess
from pathlib import Path

import pytest

from bertref.cli.prepare_parts import part_of, prepare_parts
from bertref.data.pretraining.corpus import Corpus
from bertref.data.pretraining.parts import CorpusPart, missing
from bertref.errors import InputError, ProcessLost
from bertref.text import Tokenizer
from bertref.train.parallel.world import ALONE
from tests.cli_helpers import Done, environment, in_process
from tests.data.pretraining.corpora import VOCAB, random_documents
from tests.train.parallel.launching import command
from tests.train.parallel.threads import ThreadWorld, attempts, together


@pytest.fixture
def text(tmp_path: Path) -> Path:
    VOCAB.save(tmp_path / "vocab.txt")
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join("\n".join(d.sentences) for d in random_documents(1, documents=12)), encoding="utf-8")
    return path


def arguments(text: Path, out: str, *more: str) -> list[str]:
    folder = text.parent
    return ["prepare", str(text), "--vocab", str(folder / "vocab.txt"), "--out", str(folder / out), "--documents",
            "blank-line", "--sentences", "line", *more]  # fmt: skip


def prepared(text: Path, out: str, *more: str) -> Done:
    done = in_process(*arguments(text, out, *more))
    assert done.returncode == 0, done.stderr
    return done


def content(folder: Path) -> list[list[list[int]]]:
    corpus = Corpus.open(folder)
    return [[sentence.tolist() for sentence in corpus.sentences_of(d)] for d in range(corpus.documents)]


def test_parts_one_by_one(text: Path) -> None:
    prepared(text, "one")
    folder = text.parent / "parts"
    assert "of 3 parts 1, 3 are missing." in prepared(text, "parts", "--part", "2/3").stderr
    done = in_process("pretrain", str(folder), "--out", str(text.parent / "model"))
    assert (done.returncode, "of 3 parts 1, 3 are missing" in done.stderr) == (2, True)
    first = json.loads(prepared(text, "parts", "--part", "1/3", "--json").stdout)
    assert 0 < first["documents"] < 12
    assert "missing" not in prepared(text, "parts", "--part", "3/3").stderr
    assert content(folder) == content(text.parent / "one")


def test_the_processes_of_torchrun_prepare_a_part_each(text: Path) -> None:
    prepared(text, "one")
    done = subprocess.run(
        command(2, *arguments(text, "parts", "--json")), env=environment(GLOO_SOCKET_IFNAME="lo"), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.strip().split("\n")
    assert json.loads(line)["documents"] == 12
    assert sorted(path.name for path in (text.parent / "parts").glob("part-*")) == ["part-1-of-2", "part-2-of-2"]
    assert content(text.parent / "parts") == content(text.parent / "one")


def test_counts_are_those_of_all_and_a_part_that_fails_ends_all(text: Path) -> None:
    def work(world: ThreadWorld, out: str) -> dict[str, int]:
        part = part_of(world, None, "tokens")
        assert part == CorpusPart(world.rank + 1, 2)
        given = {"layout": "blank-line", "sentences": "line"}
        corpus = "no-such-text.txt" if out == "bad" and world.rank == 1 else str(text)
        return prepare_parts(world, part, [corpus], Tokenizer(VOCAB), str(text.parent / out), **given)

    assert [found["documents"] for found in together(2, lambda world: work(world, "parts"))] == [12, 12]
    assert not missing(text.parent / "parts")
    assert len(content(text.parent / "parts")) == 12
    kinds = [type(error) for error in attempts(2, lambda world: work(world, "bad"))]
    assert kinds == [ProcessLost, InputError]


def test_what_has_no_parts_is_refused() -> None:
    assert part_of(ALONE, None, "tfrecord") is None
    for given, kind, said in (("1/2", "tfrecord", "leave out --format tfrecord"), ("9", "tokens", "from 1/8 to 8/8")):
        with pytest.raises(InputError, match=said):
            part_of(ALONE, given, kind)
    with pytest.raises(InputError, match="leave out --part"):
        together(2, lambda world: part_of(world, "1/2", "tokens"))
