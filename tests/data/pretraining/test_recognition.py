"""What lines and blank lines are taken for: each rule by an example, and what is asked."""

import random
from pathlib import Path
from typing import Any

import pytest

from bertref.data.pretraining.documents import read_documents
from bertref.data.pretraining.recognition import FEW, Reading, has_one_case, recognise
from bertref.errors import InputError

WORDS = "the old clock in tower struck nine and small bird flew over river while rain fell on roof".split()


def lines(number: int, words: tuple[int, int] = (4, 12), mark: str = "", seed: int = 1) -> list[str]:
    """Sentences in sentence case."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(*words))).capitalize() + mark for _ in range(number)]


def wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


def read(sample: list[str], layout: Any = "auto", sentences: Any = "auto", before: Reading | None = None) -> Reading:
    return recognise(Path("text"), sample, layout, sentences, before)


def lower(found: list[str]) -> list[str]:
    return [line.lower() for line in found]


UNMARKED = lines(40)
RUNNING = " ".join(lines(60, mark="."))
LICENCE = ". ".join(" ".join(lines(9, seed=seed)).capitalize() for seed in range(9))
VERSE = [line + mark for line, mark in zip(lines(40), [",", "", ";", "."] * 10, strict=True)]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (lines(40, mark="."), ("blank-line", "sentences")),
        (UNMARKED, ("blank-line", "sentences")),
        (lower(UNMARKED), ("blank-line", "sentences")),
        ([line + "?" * (number % 3 == 0) for number, line in enumerate(UNMARKED)], ("file", "paragraphs")),
        (UNMARKED[:1], ("blank-line", "sentences")),
        (wrapped(RUNNING, 60), ("file", "wrapped")),
        (lower(wrapped(RUNNING, 60)), ("file", "wrapped")),
        ([RUNNING, "", RUNNING], ("file", "paragraphs")),
        (lower([RUNNING, RUNNING]), ("file", "paragraphs")),
        (VERSE, ("file", "wrapped")),
        (wrapped(LICENCE, 60), ("file", "wrapped")),
        (["A line<br>and one more"], ("file", "wrapped")),
        (["A title", "It rained all day and nobody", "was about.", "", "Then it", "stopped."], ("file", "wrapped")),
        ([], ("blank-line", "sentences")),
    ],
)
def test_what_is_seen(sample: list[str], expected: tuple[str, str]) -> None:
    assert read(sample)[:2] == expected


def test_running_text_of_lines_that_don_t_go_on_is_not_joined() -> None:
    """Chat: two sentences in many lines, few marks at their ends."""
    short = lines(40, words=(3, 6))
    sample = [f"{a}. {b}" for a, b in zip(short[::2], short[1::2], strict=True)]
    assert read(sample)[:2] == ("file", "paragraphs")
    assert read(sample, sentences="split").style == "paragraphs"
    assert read(lower(sample)).style == "paragraphs"
    assert read([*sample[:5], *short[:15]]).style == "paragraphs"  # and sentences of a line of their own among them
    assert read(sample[: FEW - 1]).style == "wrapped"  # too few to say


@pytest.mark.parametrize(
    ("sample", "question"),
    [
        (wrapped(" ".join(UNMARKED).lower(), 50), "--sentences line .* --sentences split"),
        ([" ".join(UNMARKED)], "too long .* --sentences line .* --sentences split"),
        (wrapped(" ".join(lower(UNMARKED * 20)), 400), "too long .* --sentences line .* --sentences split"),
        ([line for text in UNMARKED for line in (text, "")][:-1], "--documents blank-line or --documents file"),
        (lower([RUNNING, "", RUNNING]), "--documents blank-line or --documents file"),
        ([RUNNING.upper(), "", RUNNING.upper()], "--documents blank-line or --documents file"),
        (["雨が降った。人が来た。", "", "雨が降った。人が来た。"], "--documents blank-line or --documents file"),
    ],
)
def test_what_can_t_be_seen_is_asked_or_as_in_the_file_before(sample: list[str], question: str) -> None:
    with pytest.raises(InputError, match=f"^text: .*{question}"):
        read(sample)
    by_line = read(sample, before=Reading("blank-line", "sentences", 80, False))
    assert by_line.layout == "blank-line"
    prose = read(sample, before=Reading("file", "wrapped", 80, False))
    assert prose.layout == "file" or prose.style == "sentences"
    if "--sentences" in question:
        assert by_line.style == "sentences"
        assert prose.style in ("wrapped", "paragraphs")


def test_the_caller_s_word_is_not_asked_about() -> None:
    hard = wrapped(" ".join(UNMARKED).lower(), 50)
    assert read(hard, sentences="line").style == "sentences"
    assert read(hard, sentences="split").style == "wrapped"
    alone = [UNMARKED[0], "", UNMARKED[1]]
    assert read(alone, sentences="line").layout == "blank-line"
    assert read(alone, layout="file") == read(alone, layout="blank-line")._replace(layout="file")
    assert read(lower([RUNNING, "", RUNNING]), layout="blank-line")[:2] == ("blank-line", "paragraphs")


def test_paragraphs_of_extracts_are_never_sentences_for_want_of_marks() -> None:
    """A heading is told from a paragraph by its length, so lines stay paragraphs."""
    assert read(UNMARKED, layout="wiki").style == "paragraphs"
    assert read(lines(20, mark="."), layout="wiki").style == "sentences"


def test_a_text_of_json_lines_is_a_document_however_long_its_lines() -> None:
    assert read([" ".join(UNMARKED)], layout="jsonl").style == "sentences"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. He came.", False),
        ("it rained. he came.", True),
        ("it rained in Paris. Anna came. it stopped. so he went to Rome. then it was late.", True),
        ("IT RAINED. HE CAME.", True),
        ("雨が降った。", True),
        ("הוא בא. ירד גשם.", True),
        ('"Good!" said he. It rained.', False),
        ("1, 2. 3", False),
        ("", False),
    ],
)
def test_one_case(text: str, expected: bool) -> None:
    assert has_one_case([text]) is expected


def test_files_of_a_corpus_are_alike(tmp_path: Path) -> None:
    """A file in lower case among prose is prose; alone, it is asked about."""
    prose, odd = tmp_path / "a.txt", tmp_path / "b.txt"
    prose.write_text(f"{RUNNING}\n\n{RUNNING}\n")
    odd.write_text(f"{RUNNING}\n\n{RUNNING}\n".lower())
    assert [len(document.sentences) for document in read_documents([prose, odd])] == [120, 120]
    with pytest.raises(InputError, match=r"b\.txt: its blank lines"):
        list(read_documents([odd, prose]))
