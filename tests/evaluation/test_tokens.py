"""Labels of words: the model's, against transformers on the same sequences; entities against seqeval; files."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import seqeval.metrics
import torch
from hypothesis import given

import bertref
from bertref.data.tasks.conll import WordColumns, token_part
from bertref.data.tasks.examples import Part, TokenExample
from bertref.errors import InputError
from bertref.evaluation import TokenAnswers, evaluate_part
from bertref.evaluation.column_files import write_columns
from bertref.evaluation.token_metrics import default_metric, spell_entities, token_metrics
from bertref.tasks.tokens import TokenSettings, word_sequences
from tests.inference.saved import labels, make

IOB = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SENTENCES = [
    ("Ada", "Lovelace", "lived", "in", "New York", "\u200b", "."),
    ("It",),
    ("who", "wrote", "the", "book") * 9,
]


def part(sentences: list[tuple[str, ...]], truth: list[tuple[str, ...]] | None) -> Part:
    def read() -> Any:
        for i, words in enumerate(sentences):
            yield TokenExample(f"dev, line {i}", words, None if truth is None else truth[i])

    return Part("dev", (), read)


def answers(names: tuple[str, ...], true: list[list[str]], said: list[list[str]]) -> TokenAnswers:
    sides = [np.array([names.index(label) for row in side for label in row], np.int64) for side in (said, true)]
    return TokenAnswers(names, [("w",) * len(row) for row in true], *sides)


@pytest.mark.parametrize("length", [48, 12])
def test_a_word_has_the_logits_of_its_first_piece(tmp_path: Path, length: int) -> None:
    network = make(tmp_path / "m", "BertForTokenClassification", **labels(*IOB))
    model = bertref.load(tmp_path / "m", dtype="float64")
    truth = [tuple(IOB[i % 5] for i in range(len(words))) for words in SENTENCES]
    settings = TokenSettings(length)
    found = evaluate_part(model, "token-classification", part(SENTENCES, truth), settings)
    want = []
    for words, sequences in zip(SENTENCES, word_sequences(model.tokenizer, SENTENCES, settings), strict=True):
        rows = np.zeros((len(words), 5))
        for each in sequences:
            with torch.no_grad():
                logits = network(torch.tensor([each.encoding.input_ids])).logits[0]
            rows[each.words] = logits[each.columns].numpy()
        want.append(rows)
    logits = np.concatenate(want)
    np.testing.assert_allclose(found.answers.logits, logits, rtol=1e-10, atol=1e-11)
    numbers = torch.tensor([IOB.index(label) for row in truth for label in row])
    loss = torch.nn.functional.cross_entropy(torch.tensor(logits), numbers).item()
    assert found.metrics["loss"].value == pytest.approx(loss, rel=1e-10)
    assert found.metrics["accuracy"].value == np.mean(logits.argmax(axis=1) == numbers.numpy())
    assert list(found.metrics) == ["f1", "precision", "recall", "accuracy", "loss"]
    assert found.examples == len(SENTENCES)
    assert found.answers.scores.sum(axis=1) == pytest.approx(1)


def test_words_alone_are_answered(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForTokenClassification", **labels(*IOB))
    model = bertref.load(tmp_path / "m")
    found = evaluate_part(model, "token-classification", part(SENTENCES, None), TokenSettings(48), limit=2)
    assert found.metrics == {}
    assert [len(row) for row in found.answers.by_sentence(found.answers.predictions)] == [7, 1]


def test_a_label_that_the_model_lacks_is_named(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForTokenClassification", **labels(*IOB))
    given_part = part([("Ada", "went")], [("B-PER", "B-X")])
    with pytest.raises(InputError, match="dev, line 0, word 2: the label 'B-X' is unknown; there are O, B-PER"):
        evaluate_part(bertref.load(tmp_path / "m"), "token-classification", given_part, TokenSettings(48))


LETTERS = {"IOB": "BI", "IOBES": "BIES"}
ROWS = st.lists(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=9), min_size=1)


@given(ROWS, st.sampled_from(sorted(LETTERS)))
def test_entities_are_those_of_seqeval(rows: list[list[tuple[int, int]]], scheme: str) -> None:
    names = ("O", *(f"{letter}-{kind}" for letter in LETTERS[scheme] for kind in ("PER", "LOC")))
    sides = [[[names[pair[side] % len(names)] for pair in row] for row in rows] for side in (0, 1)]
    found = token_metrics("token-classification", answers(names, *sides), ["f1_macro"])
    for name in ("f1", "precision", "recall"):
        want = getattr(seqeval.metrics, f"{name}_score")(*sides, zero_division=0)
        assert found[name].value == pytest.approx(want, abs=1e-12)
    assert found["accuracy"].value == pytest.approx(seqeval.metrics.accuracy_score(*sides), abs=1e-12)


def test_strict_by_name() -> None:
    """I-PER begins an entity in conlleval's eyes, and none in strict IOB2."""
    metrics = token_metrics(
        "token-classification", answers(IOB, [["B-PER", "O", "B-LOC"]], [["I-PER", "O", "B-LOC"]]), ["f1_iob2"]
    )
    assert metrics["f1"].value == 1
    assert metrics["f1_iob2"].value == pytest.approx(2 / 3)


def test_bilou_is_read_as_iobes() -> None:
    names = ("O", "B-A", "I-A", "L-A", "U-A")
    true = [["B-A", "L-A", "U-A", "O", "B-A", "I-A", "L-A"]]
    said = [["B-A", "L-A", "U-A", "O", "B-A", "I-A", "I-A"]]
    assert token_metrics("token-classification", answers(names, true, true))["f1"].value == 1
    found = token_metrics("token-classification", answers(names, true, said), ["f1_bilou"])
    assert found["f1"].value == 1, "an entity that never ends is one"
    assert found["f1_bilou"].value == pytest.approx(4 / 5)


@pytest.mark.parametrize(
    ("names", "entities"),
    [
        (IOB, True), (("O", "I-PER"), True), (("B-A", "I-A"), True), (("NOUN", "VERB"), False), (("O",), False),
        (("NOUN", "B-A"), False), (("S-Bahn", "O"), False), (("O", "S-A", "B-A", "E-A"), True),
    ],
)  # fmt: skip
def test_which_labels_are_entities(names: tuple[str, ...], entities: bool) -> None:
    assert spell_entities(names) is entities
    assert default_metric(names) == ("f1" if entities else "accuracy")


def test_parts_of_speech_have_no_entities() -> None:
    some = answers(("NOUN", "VERB"), [["NOUN", "VERB"]], [["NOUN", "NOUN"]])
    assert {name: value.value for name, value in token_metrics("token-classification", some).items()} == {
        "accuracy": 0.5
    }
    with pytest.raises(InputError, match="no metric 'f1' for labels that are no entities; choose from accuracy, loss"):
        token_metrics("token-classification", some, ["f1"])


def test_files_have_a_word_a_line(tmp_path: Path) -> None:
    some = answers(IOB, [["B-PER", "O"], ["O"]], [["O", "B-LOC"], ["O"]])
    some = TokenAnswers(IOB, [("Ada", "New York"), ("it",)], some.predictions, some.targets)
    write_columns(tmp_path / "p.txt", some)
    assert (tmp_path / "p.txt").read_text() == "Ada B-PER O\nNew_York O B-LOC\n\nit O O\n\n"
    predicted = token_part("p", tmp_path / "p.txt", WordColumns(1, 3))
    assert [e.labels for e in predicted.read()] == some.by_sentence(some.predictions)
    write_columns(tmp_path / "q.txt", TokenAnswers(IOB, some.sentences, some.predictions, None))
    assert (tmp_path / "q.txt").read_text() == "Ada O\nNew_York B-LOC\n\nit O\n\n"
