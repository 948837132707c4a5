"""Which tokens are which words, also where a text is cut."""

from dataclasses import replace
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import bertref
from bertref.inference.explain.reading import read
from bertref.text import train_tokenizer
from tests.inference.saved import labels, make

LIMIT = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bertref.Model:
    path = tmp_path_factory.mktemp("reading") / "m"
    make(path, "BertForSequenceClassification", positions=LIMIT, **labels("a", "b"))
    return bertref.load(path)


@hypothesis.given(
    text=st.text("ab é,\u0301.İ한 \u200b", min_size=1, max_size=30), pair=st.none() | st.text("ab.", max_size=20),
    truncate=st.sampled_from(["head", "tail", "head+tail"]),
)  # fmt: skip
def test_every_token_but_the_frame_is_in_one_word(
    model: bertref.Model, text: str, pair: str | None, truncate: Any
) -> None:
    """And the words of a text that is not cut, each tokenised by itself, give the tokens that the model reads."""
    if not model.tokenizer.tokenize(text + (pair or "")):
        return
    found = read(model, text, pair, truncate)
    cut = len(model.tokenizer.encode(text, pair).input_ids) > LIMIT
    ids = found.encoding.input_ids
    assert len(ids) <= LIMIT
    vocab = model.tokenizer.vocab
    inside = [i for i, number in enumerate(ids) if number not in (vocab.cls, vocab.sep)]
    assert [position for word in found.words for position in word.tokens] == inside
    for word in found.words:
        assert [found.encoding.token_type_ids[i] for i in word.tokens] == [word.segment] * len(word.tokens)
        piece = (text, pair or "")[word.segment][word.start : word.end]
        assert cut or [ids[i] for i in word.tokens] == model.tokenizer.ids_batch([piece])[0]


@pytest.mark.parametrize("pair", [None, "b, ab a"])
@pytest.mark.parametrize("truncate", [None, "tail"])
def test_frames_of_other_tokenizers(model: bertref.Model, pair: str | None, truncate: Any) -> None:
    """RoBERTa's have two separators between texts and spaces in pieces."""
    tokenizer = train_tokenizer(["ab ab a b"], 263, "byte-level")
    other, text = replace(model, tokenizer=tokenizer), "ab a" + " ab" * (8 if truncate else 0)
    found = read(other, text, pair, truncate)
    ids, vocab = found.encoding.input_ids, tokenizer.vocab
    inside = [i for i, number in enumerate(ids) if number not in (vocab.cls, vocab.sep)]
    assert [position for word in found.words for position in word.tokens] == inside
    assert len(ids) - len(inside) == (2 if pair is None else 4)
    words = [(text, pair or "")[word.segment][word.start : word.end] for word in found.words]
    assert [tokenizer.decode([ids[i] for i in word.tokens]).strip() for word in found.words] == words


def test_a_cut_text_keeps_the_words_of_its_end(model: bertref.Model) -> None:
    text = "Who wrote it? " * 5
    whole = [text[w.start : w.end] for w in read(model, "Who wrote it?", None, None).words]
    assert whole == ["Who", "wrote", "it", "?"]
    for truncate, kept in (("tail", slice(-10, None)), ("head", slice(0, 10))):
        found = model.explain(text, truncate=truncate)
        assert [word.text for word in found.words] == (whole * 5)[kept]
        assert found.complete
    starts = [word.start for word in model.explain(text, truncate="tail").words]
    assert starts[-1] == len(text.rstrip()) - 1
