"""Corpora without final marks, in one case, in other scripts: sentences and documents are found, or asked for."""

import json
import random
import textwrap
from pathlib import Path

import pytest

from .asking import bertref

WORDS = (
    "the old clock in tower struck nine and a small bird flew over river while rain fell on roof of house near wood"
).split()
SIGNS = "旧钟敲九点小鸟飞过河雨落在屋顶上树林边的人走了又来看见月亮"
HINDI = "पुरानी घड़ी ने नौ बजाए और एक छोटी चिड़िया नदी के ऊपर उड़ गई जब बारिश छत पर गिरी".split()
KINDS = ["lower case", "capitals", "sentence case", "Chinese", "Hindi"]


def sentence(kind: str, rng: random.Random) -> str:
    if kind == "Chinese":
        return "".join(rng.choices(SIGNS, k=rng.randint(5, 18)))
    text = " ".join(rng.choices(HINDI if kind == "Hindi" else WORDS[:8] + WORDS[9:], k=rng.randint(4, 12)))
    return {"capitals": text.upper(), "sentence case": text.capitalize()}.get(kind, text)


def documents(kind: str, mark: str = "", number: int = 12, seed: int = 5) -> list[list[str]]:
    """Of four to eight sentences each, that end with `mark`."""
    rng = random.Random(seed)
    return [[sentence(kind, rng) + mark for _ in range(rng.randint(4, 8))] for _ in range(number)]


def size(found: list[list[str]]) -> tuple[int, int]:
    return len(found), sum(map(len, found))


def vocabulary(folder: Path, size: int = 0) -> Path:
    """The file of a vocabulary of the English words, filled up to a size: random numbers are drawn from its ids."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "."]
    tokens += [f"[unused{number}]" for number in range(size - len(tokens))]
    path = folder / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path


def prepare(text: str, folder: Path, *options: str) -> tuple[int, int] | str:
    """The numbers of documents and sentences found in a text, or the question asked instead."""
    (folder / "text.txt").write_text(text, encoding="utf-8")
    out = folder / f"out{len(list(folder.iterdir()))}"
    done = bertref("prepare", folder / "text.txt", "--vocab", vocabulary(folder), "--out", out, "--json", *options)
    if done.returncode == 0:
        counts = json.loads(done.stdout)
        return counts["documents"], counts["sentences"]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    return done.stderr.replace("\n", " ")


def test_sentences_without_marks_make_the_original_s_examples(tmp_path: Path) -> None:
    """400 sentences, one a line: 723 examples, of which 376 have a random second segment (label 1)."""
    rng = random.Random(1)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(4, 12))) for _ in range(400)]
    (tmp_path / "one.txt").write_text("\n".join(lines) + "\n")
    files = (tmp_path / "one.txt", "--vocab", vocabulary(tmp_path, 30_522), "--out", tmp_path / "out")
    made = bertref("prepare", *files, "--format", "tfrecord", "--seq-len", "64", "--json")
    counts = json.loads(made.stdout)
    assert (counts["sentences"], counts["examples"]) == (400, 723)
    records = next((tmp_path / "out").glob("*.tfrecord")).read_bytes()
    label = b"next_sentence_labels\x12\x05\x1a\x03\x0a\x01"  # then the number itself
    assert [records.count(label + number) for number in (b"\x00", b"\x01")] == [347, 376]


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_and_documents_are_found_without_marks(tmp_path: Path, kind: str) -> None:
    """A sentence a line, a blank line between documents."""
    found = documents(kind)
    assert prepare("\n\n".join(map("\n".join, found)) + "\n", tmp_path) == size(found)


def test_sentences_of_which_some_have_marks_are_found(tmp_path: Path) -> None:
    """Captions: questions have their mark, and other lines none."""
    found = [line for lines in documents("sentence case") for line in lines]
    lines = [line + "?" * (number % 3 == 0) for number, line in enumerate(found)]
    assert prepare("\n".join(lines) + "\n", tmp_path) == (1, len(found))


@pytest.mark.parametrize("width", [None, 60])
def test_sentences_are_found_in_lower_case(tmp_path: Path, width: int | None) -> None:
    """Running text, a paragraph a line or wrapped, with names, abbreviations and initials."""
    found = [sentence.replace("tower", "Paris") for sentence in documents("lower case", ".", number=1)[0]]
    found += ["mr. bird and dr. j. s. clock flew over the river, i.e. the old wood.", "it struck nine!", "did it?"]
    text = " ".join(found)
    assert prepare((textwrap.fill(text, width) if width else text) + "\n", tmp_path) == (1, len(found))


@pytest.mark.parametrize("form", ["a line", "two lines", "wrapped"])
@pytest.mark.parametrize(("kind", "mark"), [("lower case", "."), ("capitals", "."), ("Chinese", "。"), ("Hindi", "।")])
def test_documents_in_one_case_are_asked_for(tmp_path: Path, kind: str, mark: str, form: str) -> None:
    """Running text with blank lines: paragraphs or documents? Each answer gives what it says."""
    found = documents(kind, mark)
    space = "" if kind == "Chinese" else " "
    texts = [space.join(lines) for lines in found]
    if form == "two lines":
        texts = [f"{space.join(lines[:2])}\n{space.join(lines[2:])}" for lines in found]
    elif form == "wrapped":
        texts = [textwrap.fill(text, 25 if kind == "Chinese" else 60) for text in texts]
    question = prepare("\n\n".join(texts) + "\n", tmp_path)
    assert isinstance(question, str)
    assert all(part in question for part in ("text.txt", "--documents blank-line", "--documents file"))
    if form == "wrapped":
        assert prepare("\n\n".join(texts) + "\n", tmp_path, "--documents", "blank-line") == size(found)
        assert prepare("\n\n".join(texts) + "\n", tmp_path, "--documents", "file") == (1, size(found)[1])


@pytest.mark.parametrize("form", ["wrapped", "one long line", "long lines"])
def test_sentences_that_can_t_be_seen_are_asked_for(tmp_path: Path, form: str) -> None:
    text = " ".join(word for lines in documents("lower case", number=30) for word in lines)
    width = {"wrapped": 70, "long lines": 800, "one long line": len(text)}[form]
    lines = textwrap.wrap(text, width)
    question = prepare("\n".join(lines) + "\n", tmp_path)
    assert isinstance(question, str)
    assert all(part in question for part in ("text.txt", "--sentences line", "--sentences split"))
    assert prepare("\n".join(lines) + "\n", tmp_path, "--sentences", "line") == (1, len(lines))


def test_a_line_of_its_own_for_everything_is_asked_about(tmp_path: Path) -> None:
    """Without marks, and a blank line after every line: documents of one sentence, or one document?"""
    lines = [line for lines in documents("lower case", number=3) for line in lines]
    question = prepare("\n\n".join(lines) + "\n", tmp_path)
    assert isinstance(question, str)
    assert "--documents file" in question
    assert prepare("\n\n".join(lines) + "\n", tmp_path, "--documents", "file") == (1, len(lines))


def test_a_corpus_of_one_document_is_mentioned(tmp_path: Path) -> None:
    """Also where that is the likely reading: paragraphs in ordinary English."""
    text = "\n\n".join(" ".join(line.capitalize() + "." for line in lines) for lines in documents("lower case"))
    (tmp_path / "text.txt").write_text(text + "\n")
    files = (tmp_path / "text.txt", "--vocab", vocabulary(tmp_path), "--out", tmp_path / "out")
    done = bertref("prepare", *files)
    assert done.returncode == 0, done.stderr
    assert "--documents blank-line" in done.stderr.replace("\n", " ")


def test_a_question_is_answered_by_the_same_command(tmp_path: Path) -> None:
    """`pretrain` asks before it takes its folder: the answer is added, and nothing else changed or removed."""
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(map(" ".join, documents("lower case", "."))) + "\n")
    files = (text, "--vocab", vocabulary(tmp_path), "--out", tmp_path / "out")
    run = ("pretrain", *files, "--steps", "1", "--seq-len", "32")
    assert "--documents blank-line" in bertref(*run).stderr.replace("\n", " ")
    done = bertref(*run, "--documents", "blank-line")
    assert done.returncode == 0, done.stderr
    assert "11 documents" in done.stderr  # the twelfth is held out
