"""Tasks with tokenizers that frame otherwise than BERT's: two separators, one token type, spaces in pieces."""

import random
from itertools import groupby

import pytest

from bertref.data.pretraining.masking import MaskingRules, mask_tokens
from bertref.data.tasks.examples import Answer, SpanExample, TokenExample
from bertref.tasks.spans import SpanFeatures, SpanSettings
from bertref.tasks.texts import TextSettings, sequences_of
from bertref.tasks.tokens import TokenFeatures, TokenSettings
from bertref.text import Tokenizer, train_tokenizer

from .. import small_run

CONTEXT = "The old clock remembers every word. A stone hides the silver key, and the wind follows."


@pytest.fixture(scope="module", params=["byte-level", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    texts = [line for line in small_run.text().split("\n") if line]
    return train_tokenizer(texts, 330 if request.param == "byte-level" else 90, request.param)


def separators(tokenizer: Tokenizer) -> int:
    return 2 if tokenizer.vocab.notation.style == "byte-level" else 1


def test_an_answer_is_where_its_pieces_are(tokenizer: Tokenizer) -> None:
    vocab, asked, length = tokenizer.vocab, "What hides the key?", 48
    answer = "stone"
    example = SpanExample("q", asked, CONTEXT, (Answer(answer, CONTEXT.index(answer)),))
    settings = SpanSettings(max_length=length, stride=8)
    units = list(SpanFeatures(settings).units([example], tokenizer, {}))
    question = tokenizer.ids_batch([asked])[0]
    held = 0
    for unit in units:
        ((ids, types),) = unit.sequences
        assert len(ids) <= length
        head = [vocab.cls, *question, *[vocab.sep] * separators(tokenizer)]
        assert ids[: len(head)] == head
        assert ids[-1] == vocab.sep
        assert types == [0] * len(head) + [vocab.notation.second_type] * (len(ids) - len(head))
        start, end = (unit.targets[name] for name in ("start_positions", "end_positions"))
        if end:
            held += 1
            assert tokenizer.decode(ids[start : end + 1]).strip() == answer
    assert 0 < held < len(units)


def test_windows_over_a_pair(tokenizer: Tokenizer) -> None:
    vocab, text = tokenizer.vocab, "The wind answers."
    first, second = tokenizer.ids_batch([text, CONTEXT])
    settings = TextSettings(max_length=30, windows=True, stride=10)
    (found,) = sequences_of(tokenizer, [text], [CONTEXT], settings)
    fixed = first[: (30 - 2 - separators(tokenizer)) // 2]
    head = [vocab.cls, *fixed, *[vocab.sep] * separators(tokenizer)]
    room = 30 - len(head) - 1
    for number, (ids, _) in enumerate(found):
        assert ids == [*head, *second[10 * number : 10 * number + room], vocab.sep]
    assert found[-1].input_ids[-2] == second[-1]
    short = TextSettings(max_length=80, windows=True)
    assert sequences_of(tokenizer, [text], ["A stone."], short) == [[tokenizer.encode(text, "A stone.")]]


def test_words_are_read_as_in_running_text(tokenizer: Tokenizer) -> None:
    words = CONTEXT.replace(".", "").replace(",", "").split()
    labels = tuple(f"L{i % 3}" for i in range(len(words)))
    example = TokenExample("here", tuple(words), labels)
    features = TokenFeatures(("L0", "L1", "L2"), TokenSettings(max_length=200))
    (unit,) = features.units([example], tokenizer, {})
    ((ids, _),) = unit.sequences
    assert ids == tokenizer.encode(" ".join(words)).input_ids
    row = unit.targets["labels"].tolist()
    judged = [i for i, label in enumerate(row) if label >= 0]
    assert [row[i] for i in judged] == [i % 3 for i in range(len(words))]
    pieces = tokenizer.locate(" ".join(words))
    firsts = [next(group)[0] for _, group in groupby(enumerate(pieces), lambda numbered: numbered[1].word)]
    assert judged == [1 + first for first in firsts]


def test_whole_words_are_hidden_together(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("the silver key remembers everything").input_ids
    rules = MaskingRules.of(tokenizer.vocab, probability=0.5, max_predictions=30, whole_word=True)
    words: list[list[int]] = []
    for position in range(1, len(ids) - 1):
        if tokenizer.vocab.is_subword[ids[position]]:
            words[-1].append(position)
        else:
            words.append([position])
    assert len(words) == 5
    for seed in range(20):
        hidden = set(mask_tokens(ids, rules, random.Random(seed)).positions)
        for word in words:
            assert hidden.issuperset(word) or not hidden & set(word)
