"""A text that can't be answered is named by its line, and the others of its file are answered; or long ones are cut.

The first of them stopped the command, called by its number among the texts that are not blank.
"""

import json
from pathlib import Path

import pytest

import bertref as library

from .asking import bertref
from .models import model

WORDS = "the film was good bad long . ? who a b c d e f g".split()
LONG = "a b c d e f g . " * 8
LIMIT = 32


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each kind, each reading 32 tokens."""
    path = tmp_path_factory.mktemp("long")
    kinds = ("SequenceClassification", "MaskedLM", "MultipleChoice", "NextSentencePrediction", "QuestionAnswering")
    for kind in kinds:
        model(path / kind, f"BertFor{kind}", WORDS)
    return path


def lines_of(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_line_is_named_as_an_editor_counts_it(folders: Path, tmp_path: Path) -> None:
    lines = [f"the film was {'good' if i % 2 else 'bad'} ." for i in range(300)]
    lines[2], lines[7], lines[280] = "", "  ", LONG
    file = lines_of(tmp_path / "reviews.txt", lines)
    done = bertref("predict", "--json", "--model", folders / "SequenceClassification", "--file", file)
    assert done.returncode == 1
    answered = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in answered] == [line for line in lines if line.strip() and line != LONG]
    assert all(len(line["labels"]) == 2 for line in answered)
    (said,) = (line for line in done.stderr.splitlines() if "reviews.txt" in line)
    assert "line 281" in said
    assert "66 tokens" in said
    assert f"at most {LIMIT}" in said


@pytest.mark.parametrize(
    ("kind", "options", "good", "bad"),
    [
        ("MaskedLM", [], "the [MASK]", ["the film", f"[MASK] {LONG}", f"{LONG}"]),
        ("MultipleChoice", ["--choice", "a", "--choice", "b b b"], "who ?", [LONG, "a " * 27 + "."]),
        ("NextSentencePrediction", ["--pair", "who ?"], "the film", [LONG]),
        ("QuestionAnswering", ["--context", "the film was long ."], "who ?", ["\u0301 \u200b"]),
    ],
)
def test_every_task_goes_on(kind: str, options: list[str], good: str, bad: list[str], folders: Path) -> None:
    text = "\n".join([good, *bad, "", good])
    done = bertref("predict", "--json", "--model", folders / kind, *options, "--file", "-", stdin=text)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    said = [line for line in done.stderr.splitlines() if "line " in line]
    assert len([line for line in said if "standard input" in line]) == len(bad)
    for number in range(2, 2 + len(bad)):
        assert any(f"line {number} " in line for line in said), done.stderr


def kept(number: int) -> dict[str, list[str]]:
    """The words of LONG that stay, of those that there is room for."""
    words = LONG.split()
    first = round(number * 128 / 510)
    return {
        "head": words[:number], "tail": words[-number:], "head+tail": words[:first] + words[-(number - first) :],
    }  # fmt: skip


@pytest.mark.parametrize("truncate", ["head", "tail", "head+tail"])
def test_long_texts_are_cut_on_request(truncate: str, folders: Path, tmp_path: Path) -> None:
    short = " ".join(kept(LIMIT - 2)[truncate])
    file = lines_of(tmp_path / "t.txt", [LONG, short, "the film"])
    found = bertref(
        "predict", "--json", "--model", folders / "SequenceClassification", "--file", file, "--truncate", truncate
    )
    assert found.returncode == 0, found.stderr
    long, same, _ = (json.loads(line) for line in found.stdout.splitlines())
    assert long["text"] == LONG
    assert long["labels"] == same["labels"]


def test_python_cuts_and_names_them_too(folders: Path) -> None:
    classifier = library.load(folders / "SequenceClassification", dtype="float64")
    short = " ".join(kept(LIMIT - 2)["tail"])
    assert classifier.classify(LONG, truncate="tail") == classifier.classify(short)
    assert classifier.classify(LONG, truncate="head") != classifier.classify(short)
    with pytest.raises(library.InputError) as error:
        classifier.classify_batch(["a", LONG, "b", LONG])
    assert set(error.value.reasons) == {1, 3}
    masked = library.load(folders / "MaskedLM", dtype="float64")
    (mask,) = masked.predict(f"{LONG} the [MASK] .", truncate="tail")
    assert mask.position == LIMIT - 3
    with pytest.raises(library.InputError, match=r"no \[MASK\] in what is left of"):
        masked.predict(f"{LONG} the [MASK] .", truncate="head")


def test_the_longer_one_of_a_pair_is_cut(folders: Path) -> None:
    follows = library.load(folders / "NextSentencePrediction", dtype="float64")
    room = LIMIT - 3 - 3
    for truncate in ("head", "tail", "head+tail"):
        short = " ".join(kept(room)[truncate])
        want = follows.next_sentence(short, "the film .")
        assert follows.next_sentence(LONG, "the film .", truncate=truncate) == pytest.approx(want, rel=1e-12)
    chooser = library.load(folders / "MultipleChoice", dtype="float64")
    want = chooser.choose("the film .", ["a", " ".join(kept(room)["tail"])])
    found = chooser.choose("the film .", ["a", LONG], truncate="tail")
    assert [c.probability for c in found] == pytest.approx([c.probability for c in want], rel=1e-12)
