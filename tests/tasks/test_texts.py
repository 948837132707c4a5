"""Texts as sequences: cut or through windows, every token seen, targets where they belong; labels in a fixed order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.tasks.examples import TextExample
from bertref.errors import InputError
from bertref.tasks.labels import found_labels, number_of, numbers_of
from bertref.tasks.texts import TextFeatures, TextSettings, sequences_of
from bertref.text import Tokenizer, Vocab

WORDS = [f"w{chr(97 + i)}{chr(97 + j)}" for i in range(6) for j in range(6)]
TOKENIZER = Tokenizer(Vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30)


@given(first=texts, second=st.none() | texts, length=st.integers(8, 40), stride=st.none() | st.integers(1, 30))
def test_windows_show_every_token_of_the_last_segment(
    first: list[str], second: list[str] | None, length: int, stride: int | None
) -> None:
    settings = TextSettings(length, windows=True, stride=stride)
    pairs = None if second is None else [" ".join(second)]
    (found,) = sequences_of(TOKENIZER, [" ".join(first)], pairs, settings)
    moving = TOKENIZER.ids_batch([" ".join(first if second is None else second)])[0]
    shown: list[int] = []
    for ids, types in found:
        assert len(ids) == len(types) <= length
        assert (ids[0], ids[-1]) == (TOKENIZER.vocab.cls, TOKENIZER.vocab.sep)
        own = [i for i, t in zip(ids, types, strict=True) if t == (second is not None)][:-1]
        shown += own[1:] if second is None else own
    assert set(shown) == set(moving)
    whole = TOKENIZER.encode(" ".join(first), None if pairs is None else pairs[0])
    assert (found == [whole]) is (len(whole.input_ids) <= length)


@given(first=texts, length=st.integers(4, 12), truncate=st.sampled_from(["head", "tail", "head+tail"]))
def test_cutting_is_the_tokenizers(first: list[str], length: int, truncate: str) -> None:
    (found,) = sequences_of(TOKENIZER, [" ".join(first)], None, TextSettings(length, truncate))  # type: ignore[arg-type]
    assert found == [TOKENIZER.encode(" ".join(first), None, length, truncate=truncate)]  # type: ignore[arg-type]


def examples(*labels: object) -> list[TextExample]:
    return [TextExample(f"line {i}", "waa wab", label=label) for i, label in enumerate(labels, 2)]  # type: ignore[arg-type]


def units(kind: str, known: tuple[str, ...], *labels: object) -> list[object]:
    counted: dict[str, int] = {}
    features = TextFeatures(kind, known, TextSettings())
    found = [unit.targets["labels"] for unit in features.units(examples(*labels), TOKENIZER, counted)]
    assert counted["examples"] == len(labels)
    return found


def test_targets() -> None:
    assert units("classification", ("a", "b"), "b", "a") == [1, 0]
    assert units("regression", ("x",), 2.5, "3") == [2.5, 3.0]
    assert units("multi-label", ("a", "b", "c"), ("c", "a"), (), "b") == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("kind", "label", "said"),
    [
        ("classification", "z", "line 2: the label 'z' is unknown; there are a, b"),
        ("classification", None, "line 2: has no label"),
        ("multi-label", ("a", "z"), "line 2: the label 'z' is unknown"),
        ("regression", "many", "line 2: 'many' is not a number"),
        ("regression", float("nan"), "line 2: the target is nan"),
    ],
)
def test_a_wrong_label_names_its_place(kind: str, label: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        units(kind, ("a", "b"), label)


def test_some_pairs_are_no_pairs() -> None:
    mixed = [TextExample("line 2", "waa", "wab", label="a"), TextExample("line 3", "waa", label="a")]
    features = TextFeatures("classification", ("a",), TextSettings())
    with pytest.raises(InputError, match="line 3: lacks the second text"):
        list(features.units(mixed, TOKENIZER, {}))


def test_labels_have_an_order() -> None:
    assert found_labels(["b", "10", "9", "a"]) == ("9", "10", "a", "b")
    assert found_labels([("B-PER", "O"), ("I-PER",)]) == ("O", "B-PER", "I-PER")
    assert numbers_of(("x", "y")) == {"x": 0, "y": 1}
    assert number_of({"x": 0}, "x", "here") == 0
    many = [str(i) for i in range(10_001)]
    for labels, said in (([None], "has no label"), ([], "has no labels"), (many, "more than")):
        with pytest.raises(InputError, match=said):
            found_labels(labels)
    with pytest.raises(InputError, match="'x' is given twice"):
        numbers_of(("x", "y", "x"))


def test_a_batch_of_each_kind() -> None:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from bertref.tasks.store import open_or_make

    for kind, labels, dtype in (("classification", ["a", "b"], np.int32), ("regression", [1.5, 2.0], np.float64)):
        features = TextFeatures(kind, ("a", "b") if kind == "classification" else ("x",), TextSettings())
        with TemporaryDirectory() as folder:
            counted: dict[str, int] = {}
            made = features.units(examples(*labels), TOKENIZER, counted)
            store = open_or_make(Path(folder) / "f", made, features.columns, 1, counted, padding=0)
            batch = features.batch(store, np.array([1, 0]))
            assert batch.labels.dtype == dtype  # type: ignore[attr-defined]
            assert len(batch) == 2
