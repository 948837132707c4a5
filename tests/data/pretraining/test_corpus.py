"""Preparing a corpus and opening it: content, shards, atomicity, and every way in which it can be damaged."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.data.pretraining import shards
from bertref.data.pretraining.corpus import Corpus, is_corpus, token_dtype
from bertref.data.pretraining.documents import Document
from bertref.data.pretraining.shards import prepare
from bertref.errors import InputError
from bertref.text import Tokenizer, Vocab

from .corpora import VOCAB, make, random_documents


def as_ids(documents: list[Document]) -> list[list[list[int]]]:
    tokenizer = Tokenizer(VOCAB)
    return [tokenizer.ids_batch(document.sentences) for document in documents]


def content(corpus: Corpus) -> list[list[list[int]]]:
    return [[sentence.tolist() for sentence in corpus.sentences_of(number)] for number in range(corpus.documents)]


@pytest.mark.parametrize("shard_tokens", [1, 100, 2**28])
@pytest.mark.parametrize("block", [1, 20, 16_384])
def test_what_is_prepared_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_tokens: int, block: int
) -> None:
    monkeypatch.setattr(shards, "BLOCK", block)
    documents = random_documents(2, documents=15)
    corpus = make(tmp_path / "c", documents, shard_tokens=shard_tokens)
    assert content(corpus) == as_ids(documents)
    assert corpus.documents == 15
    assert corpus.sentences == sum(len(document.sentences) for document in documents)
    assert len(corpus) == sum(len(s) for document in as_ids(documents) for s in document)
    assert corpus.document_lengths().tolist() == [sum(map(len, document)) for document in as_ids(documents)]
    if shard_tokens == 1 and block == 1:
        assert len(list((tmp_path / "c").glob("*.tokens.bin"))) == 15
    if shard_tokens == 2**28:
        assert len(list((tmp_path / "c").glob("*.tokens.bin"))) == 1


def test_several_folders_are_one_corpus(tmp_path: Path) -> None:
    documents = random_documents(3, documents=9)
    make(tmp_path / "a", documents[:4], shard_tokens=50)
    make(tmp_path / "b", documents[4:])
    corpus = Corpus.open([tmp_path / "a", tmp_path / "b"])
    assert content(corpus) == as_ids(documents)
    assert len(corpus.manifests) == 2


def test_tokens_have_the_narrowest_type() -> None:
    assert token_dtype(2**16) == np.dtype("<u2")
    assert token_dtype(2**16 + 1) == np.dtype("<u4")


def test_large_vocabularies_keep_their_ids(tmp_path: Path) -> None:
    vocab = Vocab(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(70_000))))
    prepare([Document("d", ["w0 w69999"])], Tokenizer(vocab), tmp_path / "c")
    assert content(Corpus.open(tmp_path / "c")) == [[[5, 70_004]]]


def test_what_has_no_tokens_is_left_out_and_counted(tmp_path: Path) -> None:
    documents = [
        Document("nothing", ["\u200b", " "]),
        Document("something", ["\u200b", "a b", "\u0301", "c"]),
        Document("no sentences", []),
        Document("last", ["d"]),
    ]
    seen: list[dict[str, int]] = []
    counts = prepare(documents, Tokenizer(VOCAB), tmp_path / "c", progress=seen.append)
    assert counts == {"documents": 2, "sentences": 3, "tokens": 4, "dropped": 2}
    assert seen[-1] == counts
    a, b, c, d = (VOCAB.ids[letter] for letter in "abcd")
    assert content(Corpus.open(tmp_path / "c")) == [[[a, b], [c]], [[d]]]


def test_progress_is_told_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BLOCK", 10)
    seen: list[dict[str, int]] = []
    prepare(random_documents(2, documents=15), Tokenizer(VOCAB), tmp_path / "c", progress=seen.append)
    tokens = [counts["tokens"] for counts in seen]
    assert len(tokens) > 5
    assert tokens == sorted(set(tokens))


def test_the_manifest_says_how_it_was_made(tmp_path: Path) -> None:
    prepare([Document("d", ["a"])], Tokenizer(VOCAB, lower_case=False), tmp_path / "c")
    manifest = Corpus.open(tmp_path / "c").manifests[0]
    assert manifest["format_version"] == 1
    assert manifest["vocabulary"] == {"sha256": VOCAB.sha256, "size": VOCAB.size}
    assert manifest["tokenizer"]["lower_case"] is False
    assert manifest["counts"] == {"documents": 1, "sentences": 1, "tokens": 1, "dropped": 0}
    assert is_corpus(tmp_path / "c")
    assert not is_corpus(tmp_path)


def test_reading_is_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more documents are in hand than a block holds."""
    monkeypatch.setattr(shards, "BLOCK", 4)
    written = []
    taken = 0

    def documents() -> Iterator[Document]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield Document(str(number), ["a b", "c"])

    prepare(documents(), Tokenizer(VOCAB), tmp_path / "c", progress=lambda counts: written.append((taken, counts)))
    assert all(taken - counts["documents"] <= 2 for taken, counts in written)
    assert len(written) == 20


# ---------------------------------------------------------------------------------------------------------------------


def test_an_empty_corpus_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    for documents in ([], [Document("d", ["\u200b"])]):
        with pytest.raises(InputError, match="the corpus is empty"):
            prepare(documents, Tokenizer(VOCAB), tmp_path / "c")
        assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="c: exists; choose another"):
        prepare([Document("d", ["a"])], Tokenizer(VOCAB), tmp_path / "c")


def test_an_error_while_reading_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BLOCK", 1)

    def documents() -> Iterator[Document]:
        yield Document("d", ["a b"])
        raise InputError("the second document")

    with pytest.raises(InputError, match="the second document"):
        prepare(documents(), Tokenizer(VOCAB), tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        prepare([Document("d", ["a"])], Tokenizer(VOCAB), tmp_path / "file" / "c")


ENDLESS = """
import itertools, resource, sys
from bertref.data.pretraining import shards
from bertref.data.pretraining.documents import Document
from bertref.errors import InputError
from bertref.text import Tokenizer, load_vocab
shards.BLOCK = 100
if sys.argv[3] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
documents = (Document(str(number), ["a b c"] * 10) for number in itertools.count())
try:
    shards.prepare(documents, Tokenizer(load_vocab(sys.argv[1])), sys.argv[2], progress=lambda c: print(c, flush=True))
except InputError as error:
    sys.exit(f"refused: {error}")
"""


def endless(tmp_path: Path, how: str) -> "subprocess.Popen[str]":
    VOCAB.save(tmp_path / "vocab.txt")
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "vocab.txt"), str(tmp_path / "c"), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="kills a process by signal")
def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    with endless(tmp_path, "kill") as process:
        assert process.stdout is not None
        for _ in range(5):
            assert "documents" in process.stdout.readline()
        process.kill()
    assert not (tmp_path / "c").exists()


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files by resource limits")
def test_a_disk_that_takes_no_more_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with endless(tmp_path, "full") as process:
        message = process.communicate(timeout=60)[1]
    assert "refused: " in message
    assert "c: can't be written (File too large)" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vocab.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "c", random_documents(4))
    return tmp_path / "c"


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("part", ["tokens", "sentences", "documents"])
def test_a_file_of_the_wrong_size_is_refused(folder: Path, part: str) -> None:
    path = folder / f"00000.{part}.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"00000\.{part}\.bin: \d+ bytes, not \d+"):
        Corpus.open(folder)


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "00000.tokens.bin").unlink()
    with pytest.raises(InputError, match=r"00000\.tokens\.bin: can't be read"):
        Corpus.open(folder)


@pytest.mark.parametrize(("part", "place"), [("sentences", 0), ("sentences", -1), ("documents", -1)])
def test_offsets_that_do_not_fit_are_refused(folder: Path, part: str, place: int) -> None:
    path = folder / f"00000.{part}.bin"
    numbers = np.fromfile(path, "<i8")
    numbers[place] += 1
    numbers.tofile(path)
    with pytest.raises(InputError, match="damaged: offsets run from"):
        Corpus.open(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "is not the manifest of a prepared corpus"),
        ({"format_version": 2}, "format version 2; this bertref reads version 1"),
        ({"shards": []}, "damaged"),
        ({"shards": [{"name": "00000", "tokens": 1}]}, "damaged"),
        ({"shards": [{"name": "../x", "tokens": 1, "sentences": 1, "documents": 1}]}, "damaged"),
        ({"token_dtype": "<f4"}, "damaged"),
        ({"vocabulary": {}}, "damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(InputError, match=message):
        Corpus.open(folder)


def test_what_is_no_corpus_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a prepared corpus"):
        Corpus.open(tmp_path)
    with pytest.raises(InputError, match="no corpus folder given"):
        Corpus.open([])
    (folder / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="can't be read as JSON"):
        Corpus.open(folder)


def test_another_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    other = Vocab((*VOCAB.tokens, "more"), source="other.txt")
    with pytest.raises(InputError, match=r"another vocabulary \(57 tokens\) than other\.txt \(58 tokens\)"):
        Corpus.open(folder, other)
    assert Corpus.open(folder, VOCAB).vocab is VOCAB
    prepare([Document("d", ["a"])], Tokenizer(other), tmp_path / "d")
    with pytest.raises(InputError, match="d: was prepared with another vocabulary"):
        Corpus.open([folder, tmp_path / "d"])


def test_a_document_that_does_not_exist_is_refused(folder: Path) -> None:
    corpus = Corpus.open(folder)
    for number in (-1, corpus.documents):
        with pytest.raises(InputError, match=f"document {number}: the corpus has documents 0 to 6"):
            corpus.sentences_of(number)
