"""Words as pieces: one prediction and one training label for each, whatever the lengths."""

from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from bertref.data.batch import IGNORED_LABEL
from bertref.data.tasks.examples import TokenExample
from bertref.errors import InputError
from bertref.tasks.store import open_or_make
from bertref.tasks.tokens import TokenFeatures, TokenSettings, word_sequences
from bertref.text import Tokenizer
from tests.inference.saved import VOCAB

TOKENIZER = Tokenizer(VOCAB)
LABELS = ("O", "B-X", "I-X")
WORDS = st.one_of(
    st.sampled_from(["Ada", "Lovelace", "London,", "\u200b", "\x07", "[SEP]", "abcdefghijk", "x" * 300, "New York"]),
    st.text(min_size=1, max_size=12),
)
SENTENCES = st.lists(st.lists(WORDS, max_size=30), max_size=4)
SETTINGS = st.builds(TokenSettings, st.integers(3, 20), st.none() | st.integers(1, 25))


def pieces(word: str) -> list[int]:
    return TOKENIZER.encode(word).input_ids[1:-1] or [VOCAB.unk]


@given(SENTENCES, SETTINGS)
def test_each_word_is_judged_once_and_on_its_first_piece(sentences: list[list[str]], settings: TokenSettings) -> None:
    for words, sequences in zip(sentences, word_sequences(TOKENIZER, sentences, settings), strict=True):
        judged = Counter(int(word) for each in sequences for word in each.words)
        assert judged == Counter(range(len(words)))
        for ids, types in (each.encoding for each in sequences):
            assert len(ids) == len(types) <= settings.max_length
            assert (ids[0], ids[-1]) == (VOCAB.cls, VOCAB.sep)
        for each in sequences:
            assert each.words.size
            for word, column in zip(each.words, each.columns, strict=True):
                assert 1 <= column < len(each.encoding.input_ids) - 1
                assert each.encoding.input_ids[column] == pieces(words[word])[0]


@given(st.lists(WORDS, min_size=1, max_size=40), SETTINGS)
def test_a_word_is_judged_where_most_of_its_surroundings_are_seen(words: list[str], settings: TokenSettings) -> None:
    """Every window of the sentence shows as much around the word as the chosen one, or less."""
    (sequences,) = word_sequences(TOKENIZER, [words], settings)
    flat = [piece for word in words for piece in pieces(word)]
    firsts = np.cumsum([0, *(len(pieces(word)) for word in words)])[:-1]
    room = settings.max_length - 2
    step = min(settings.stride or max(room // 2, 1), room)
    starts = [0]
    while starts[-1] + room < len(flat):
        starts.append(starts[-1] + step)
    seen = {start: min(start + room, len(flat)) for start in starts}
    for each in sequences:
        for word, column in zip(each.words, each.columns, strict=True):
            place = int(firsts[word])
            start = place - int(column) + 1
            assert each.encoding.input_ids[1:-1] == flat[start : seen[start]]
            scores = {a: min(place - a, b - 1 - place) + 0.01 * (b - a) for a, b in seen.items() if a <= place < b}
            assert scores[start] == max(scores.values())


def test_words_that_vanish_are_unknown() -> None:
    ((sequence,),) = word_sequences(TOKENIZER, [["Ada", "\u200b", "lived"]], TokenSettings(16))
    ada, lived = TOKENIZER.ids_batch(["ada", "lived"])
    assert sequence.encoding.input_ids == [VOCAB.cls, *ada, VOCAB.unk, *lived, VOCAB.sep]
    assert sequence.columns.tolist() == [1, 2, 3]
    assert word_sequences(TOKENIZER, [[]], TokenSettings(16)) == [[]]


def test_windows_by_hand() -> None:
    """Pieces a b c d e f g, five at a time, two apart: each word where it stands closest to the middle."""
    (sequences,) = word_sequences(TOKENIZER, [list("abcdefg")], TokenSettings(7, 2))
    assert [each.words.tolist() for each in sequences] == [[0, 1, 2, 3], [4, 5, 6]]
    assert [each.columns.tolist() for each in sequences] == [[1, 2, 3, 4], [3, 4, 5]]


@given(st.lists(st.lists(st.tuples(WORDS, st.sampled_from(LABELS)), min_size=1, max_size=20), min_size=1, max_size=4),
       SETTINGS)  # fmt: skip
def test_each_word_is_trained_once(rows: list[list[tuple[str, str]]], settings: TokenSettings) -> None:
    examples = [TokenExample(f"x, line {i}", *zip(*row, strict=True)) for i, row in enumerate(rows)]  # type: ignore[arg-type]
    features, counted = TokenFeatures(LABELS, settings), dict[str, int]()
    units = list(features.units(examples, TOKENIZER, counted))
    assert counted["examples"] == len(rows)
    found: Counter[str] = Counter()
    for unit in units:
        (encoding,), labels = unit.sequences, unit.targets["labels"]
        assert len(labels) == len(encoding.input_ids)
        assert labels[0] == labels[-1] == IGNORED_LABEL
        assert (labels != IGNORED_LABEL).any()
        found.update(LABELS[number] for number in labels if number != IGNORED_LABEL)
    assert found == Counter(label for row in rows for _, label in row)


def test_a_batch_has_ignored_padding(tmp_path: Path) -> None:
    examples = [TokenExample("x", ("Ada", "Lovelace"), ("B-X", "I-X")), TokenExample("x", ("book",), ("O",))]
    features, counted = TokenFeatures(LABELS, TokenSettings(16)), dict[str, int]()
    store = open_or_make(
        tmp_path / "f", features.units(examples, TOKENIZER, counted), features.columns, features.width, counted,
        padding=0,
    )
    batch = features.batch(store, np.array([1, 0]))
    assert batch.labels.tolist() == [[-100, 0, -100, -100, -100], [-100, 1, 2, -100, -100]]  # type: ignore[attr-defined]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "dev.txt, line 7: has no labels"),
        (("O", "B-Y"), "dev.txt, line 7, word 2: the label 'B-Y' is unknown; there are O, B-X, I-X$"),
        (("O", "S-X"), "word 2: the label 'S-X' is unknown; there are O, B-X, I-X. If these data mark entities in "
         r"another scheme \(IOB1, IOB2, BIOES\), convert all to one$"),
        (("O",), "dev.txt, line 7: there are 2 words and 1 labels"),
    ],
)
def test_examples_that_can_not_be_learnt(labels: tuple[str, ...] | None, message: str) -> None:
    example = TokenExample("dev.txt, line 7", ("Ada", "lived"), labels)
    with pytest.raises(InputError, match=message):
        list(TokenFeatures(LABELS, TokenSettings(16)).units([example], TOKENIZER, {}))


def test_there_must_be_room_for_a_piece() -> None:
    with pytest.raises(InputError, match="0 tokens are left for the text"):
        word_sequences(TOKENIZER, [["Ada"]], TokenSettings(2))


def test_wnut17(data_dir: Path) -> None:
    """Fifty sentences of real text, in windows: the training labels are those of the file, each once."""
    from itertools import islice

    from bertref.data.tasks.conll import token_part

    part = token_part("dev", data_dir / "data" / "wnut17" / "dev.conll")
    examples = list(islice(part.read(), 50))
    labels = tuple(sorted({label for example in examples for label in example.labels or ()}))
    units = list(TokenFeatures(labels, TokenSettings(12)).units(examples, TOKENIZER, {}))
    numbers = np.concatenate([unit.targets["labels"] for unit in units])
    found = Counter(labels[number] for number in numbers[numbers != IGNORED_LABEL])
    assert found == Counter(label for example in examples for label in example.labels or ())
    assert len(units) > 100
