"""The readers on real text, and the figures of preparing a hundred novels."""

import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bertref.data.pretraining.corpus import Corpus
from bertref.data.pretraining.documents import Document, read_documents
from bertref.data.pretraining.pipeline import PretrainingData
from bertref.data.pretraining.shards import prepare
from bertref.text import Tokenizer, load_vocab

VOCAB = "data/vocab/uncased_from_llSiddharthll.txt"


def unpack(archive: Path, folder: Path, count: int | None = None) -> Path:
    """The archive's text files, or the first of them."""
    with tarfile.open(archive) as tar:
        members = (member for member in tar if member.isfile() and not member.name.endswith(".md"))
        for number, member in enumerate(members):
            if count is not None and number >= count:
                break
            tar.extract(member, folder, filter="data")
    return folder


def described(paths: list[Path]) -> tuple[list[Document], Counter[tuple[str, str]]]:
    kinds: Counter[tuple[str, str]] = Counter()
    documents = list(read_documents(paths, on_file=lambda path, layout, style: kinds.update([(layout, style)])))
    return documents, kinds


def test_the_original_s_sample(data_dir: Path) -> None:
    """33 lines, 31 sentences, 3 documents: every line as it stands."""
    path = data_dir / "data" / "google_sample_text.txt"
    documents, kinds = described([path])
    assert kinds == {("blank-line", "sentences"): 1}
    assert [len(document.sentences) for document in documents] == [3, 13, 15]
    lines = [line.strip() for line in path.read_bytes().decode().split("\n")]
    assert [s for document in documents for s in document.sentences] == [line for line in lines if line]


def test_novels(data_dir: Path, tmp_path: Path) -> None:
    """Wrapped or a paragraph a line: one document a file, and sentences of a novel's length."""
    folder = unpack(data_dir / "data" / "english_novels.tar.gz", tmp_path, 8)
    documents, kinds = described([folder])
    assert len(documents) == 8
    assert {layout for layout, _ in kinds} == {"file"}
    assert not any(style == "sentences" for _, style in kinds)
    for document in documents:
        lengths = [len(sentence.split()) for sentence in document.sentences]
        assert len(lengths) > 1000
        assert 8 < np.mean(lengths) < 40
        assert not any("\ufeff" in sentence or "\r" in sentence for sentence in document.sentences)
        ended = np.mean([sentence.rstrip("\"'”’)").endswith((".", "!", "?")) for sentence in document.sentences])
        assert ended > 0.85


def test_wikipedia(data_dir: Path, tmp_path: Path) -> None:
    """210 articles, of which 99 are redirects that hold nothing but their title."""
    folder = unpack(data_dir / "data" / "wikipedia_sample.tar.gz", tmp_path)
    documents, kinds = described([folder])
    assert kinds == {("wiki", "paragraphs"): 4}
    assert len(documents) == 111
    assert documents[0].name == "Anarchism"
    assert documents[0].sentences[1].startswith("Anarchism advocates for the replacement of the state")
    sentences = [sentence for document in documents for sentence in document.sentences]
    assert not any("<doc" in s or "&amp;" in s or s in ("History.", "See also.") for s in sentences)


def test_reviews(data_dir: Path, tmp_path: Path) -> None:
    folder = unpack(data_dir / "data" / "aclImdb_train_unsup.tar.gz", tmp_path, 203)
    reviews = sorted(path for path in folder.rglob("*_*.txt"))
    documents, _ = described(list(reviews))
    assert [document.name.removesuffix("#1") for document in documents] == [str(path) for path in reviews]
    sentences = [sentence for document in documents for sentence in document.sentences]
    assert len(sentences) > 5 * len(reviews)
    assert not any("<br" in sentence for sentence in sentences)


def test_ids_are_those_of_the_tokenizer(data_dir: Path, tmp_path: Path) -> None:
    documents, _ = described([data_dir / "data" / "google_sample_text.txt"])
    tokenizer = Tokenizer(load_vocab(data_dir / VOCAB))
    prepare(documents, tokenizer, tmp_path / "c")
    corpus = Corpus.open(tmp_path / "c")
    for number, document in enumerate(documents):
        found = [sentence.tolist() for sentence in corpus.sentences_of(number)]
        assert found == tokenizer.ids_batch(document.sentences)


MEASURE = """
import resource, sys, time
from bertref.data.pretraining.documents import read_documents
from bertref.data.pretraining.shards import prepare
from bertref.text import Tokenizer, load_vocab
start = time.perf_counter()
counts = prepare(read_documents([sys.argv[1]]), Tokenizer(load_vocab(sys.argv[2])), sys.argv[3])
rate = counts["tokens"] / (time.perf_counter() - start)
print(counts["documents"], counts["tokens"], rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_a_hundred_novels_take_little_memory(data_dir: Path, tmp_path: Path) -> None:
    """14.2 million words; less than 700 MB resident. The rate is printed, and asserted only to be sane."""
    folder = unpack(data_dir / "data" / "english_novels.tar.gz", tmp_path / "novels")
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), str(data_dir / VOCAB), str(tmp_path / "c")],
        check=True,
        capture_output=True,
        text=True,
    )
    documents, tokens, rate, megabytes = map(float, run.stdout.split())
    print(f"{rate:,.0f} tokens/s, {megabytes:.0f} MB")
    assert (documents, tokens) == (100, pytest.approx(18.5e6, rel=0.02))
    assert megabytes < 700
    assert rate > 50_000
    data = PretrainingData(Corpus.open(tmp_path / "c"))
    start = time.perf_counter()
    assert len(data.instances(0)) > 150_000
    print(f"pairs of a pass: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    for step in range(50):
        data.batch(step, 32)
    print(f"{1600 / (time.perf_counter() - start):,.0f} instances/s")
