"""Questions as windows: the columns of answers against plain loops and against transformers' tokenizer."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.tasks.batches import SpanBatch
from bertref.data.tasks.examples import Answer, SpanExample
from bertref.data.tasks.squad import NOWHERE, squad_part
from bertref.errors import InputError
from bertref.tasks.spans import UNSEEN, UNUSABLE, Framed, Framing, SpanFeatures, SpanSettings
from bertref.tasks.store import Unit, open_or_make
from bertref.text import SPECIAL_TOKENS, Tokenizer, Vocab

from ..inference.saved import VOCAB

TOKENIZER = Tokenizer(VOCAB)
WORDS = st.text("abcABé\u0301ñ\u00ad\u200b한ßΣ博'.,", min_size=1, max_size=6).filter(lambda w: TOKENIZER.locate(w))
CONTEXT = "Ada Lovelace lived in London, in 1852. She wrote the book in the city."


def units(*examples: SpanExample, counted: dict[str, int] | None = None, **settings: Any) -> list[Unit]:
    return list(SpanFeatures(SpanSettings(**settings)).units(examples, TOKENIZER, {} if counted is None else counted))


def columns(unit: Unit) -> tuple[int, int]:
    return unit.targets["start_positions"], unit.targets["end_positions"]


def asked(text: str, start: int | None = None, context: str = CONTEXT) -> SpanExample:
    return SpanExample("q7", "Who wrote it?", context, (Answer(text, context.index(text) if start is None else start),))


def framed_of(question: str, context: str, **settings: Any) -> Framed:
    framed = Framing(TOKENIZER, SpanSettings(**settings)).framed(question, context)
    assert isinstance(framed, Framed)
    return framed


@given(st.lists(WORDS, min_size=1, max_size=12), st.data())
def test_an_answer_of_whole_words_has_their_pieces_in_each_window_that_holds_it(words: list[str], data: Any) -> None:
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    room, stride = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 40))
    text, before = " ".join(words[first : last + 1]), " ".join([*words[:first], ""])
    pieces = TOKENIZER.encode(text).input_ids[1:-1]
    found = units(asked(text, len(before), " ".join(words)), max_length=room + 4 + 3, stride=stride)
    holding = [unit for unit in found if columns(unit) != (0, 0)]
    for unit in holding:
        start, end = columns(unit)
        ids, types = unit.sequences[0]
        assert ids[start : end + 1] == pieces
        assert set(types[start : end + 1]) == {1}
    if len(pieces) <= room - min(stride, room) + 1:
        assert holding
    assert len(holding) == sum(
        window.start <= len(TOKENIZER.locate(before)) and len(TOKENIZER.locate(before + text)) <= window.end
        for window in framed_of("Who wrote it?", " ".join(words), max_length=room + 7, stride=stride).windows
    )


@given(st.text("abAé\u0301 \u00ad\u200b한각Σ博'.\n\x85", min_size=1, max_size=20), st.data())
def test_any_stretch_has_the_pieces_that_share_a_character_with_it(context: str, data: Any) -> None:
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    pieces = TOKENIZER.locate(context)
    shared = [i for i, piece in enumerate(pieces) if set(range(piece.start, piece.end)) & set(range(start, end))]
    framed = Framing(TOKENIZER, SpanSettings()).framed("a", context)
    if isinstance(framed, str):
        assert pieces == []
        return
    found = framed.passage.pieces_of(start, end)
    assert found == ((min(shared), max(shared)) if shared else None)
    if found:
        begins, ends = framed.passage.characters_of(*found)
        assert begins == min(pieces[i].start for i in shared)
        assert ends == max(pieces[i].end for i in shared)


def test_a_window_is_framed_as_a_pair_and_the_question_is_cut() -> None:
    (unit,) = units(asked("the city"), max_length=100, max_query_length=2)
    assert unit.sequences[0] == TOKENIZER.encode("Who wrote", CONTEXT)
    ids = unit.sequences[0].input_ids
    assert TOKENIZER.decode(ids[columns(unit)[0] : columns(unit)[1] + 1]) == "the city"


def test_an_answer_that_begins_inside_a_piece_takes_that_piece() -> None:
    (unit,) = units(asked("ondon", max(0, CONTEXT.index("ondon"))))
    start, end = columns(unit)
    assert TOKENIZER.decode(unit.sequences[0].input_ids[start : end + 1]) == "london"


def test_the_first_answer_is_learnt_and_questions_without_one_point_at_cls() -> None:
    two = SpanExample("q", "Who?", CONTEXT, (Answer("London", 22), Answer("Ada", 0)))
    assert columns(units(two)[0]) == columns(units(SpanExample("q", "Who?", CONTEXT, (Answer("London", 22),)))[0])
    none = SpanExample("q", "Who?", CONTEXT, answerable=False)
    assert {columns(unit) for unit in units(none, null_threshold=0.0, max_length=16, stride=4)} == {(0, 0)}


def test_what_can_not_be_learnt_is_counted_or_refused() -> None:
    counted: dict[str, int] = {}
    invisible = asked("\u200b", context="a \u200b b")
    long = asked("London, in 1852. She wrote")
    assert len(units(asked("Ada"), invisible, asked("Ada", NOWHERE), long, counted=counted, max_length=12)) > 2
    assert counted == {"examples": 4, UNUSABLE: 2, UNSEEN: 1}
    for example, message in [
        (SpanExample("q7", "Who?", CONTEXT, answerable=None), "q7: has no answer to learn from"),
        (SpanExample("q7", "Who?", CONTEXT, answerable=False), "q7: has no answer; the task for such questions is sq"),
        (SpanExample("q7", "\u200b", CONTEXT), "q7: can't be answered: the question '.u200b' has no words"),
    ]:
        with pytest.raises(InputError, match=message):
            units(example)
    with pytest.raises(InputError, match="0 tokens are left for the text"):
        units(asked("Ada"), max_length=7)


def test_a_context_is_located_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    locate = Tokenizer.locate
    monkeypatch.setattr(Tokenizer, "locate", lambda self, text: seen.append(text) or locate(self, text))
    units(asked("Ada"), asked("London"), asked("b", context="b"), asked("She"))
    assert seen == [CONTEXT, "b"]


def test_batches_hold_the_windows(tmp_path: Path) -> None:
    features = SpanFeatures(SpanSettings(max_length=20, stride=5))
    counted: dict[str, int] = {}
    made = list(features.units([asked("London"), asked("Ada")], TOKENIZER, {}))
    store = open_or_make(tmp_path / "f", iter(made), features.columns, features.width, counted, padding=0)
    batch = features.batch(store, np.array([3, 0, 1]))
    assert isinstance(batch, SpanBatch)
    assert [*zip(batch.start_positions, batch.end_positions, strict=True)] == [columns(made[i]) for i in (3, 0, 1)]
    assert batch.inside.all()
    assert batch.input_ids[1].tolist() == made[0].sequences[0].input_ids


def theirs(tokenizer: Any, example: SpanExample, settings: SpanSettings) -> list[tuple[Any, int, int]]:
    """transformers' run_qa: (ids, first column, last column) of each window. Its stride is what two windows share."""
    length = min(len(tokenizer(example.question, add_special_tokens=False).input_ids), settings.max_query_length)
    room = settings.max_length - length - 3
    encoded = tokenizer(
        example.question, example.context, truncation="only_second", max_length=settings.max_length,
        stride=room - min(settings.stride, room), return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    begins, ends = example.answers[0].start, example.answers[0].start + len(example.answers[0].text)
    found = []
    for i, places in enumerate(encoded["offset_mapping"]):
        inside = [column for column, segment in enumerate(encoded.sequence_ids(i)) if segment == 1]
        first, last = 0, 0
        if places[inside[0]][0] <= begins and places[inside[-1]][1] >= ends:
            first = max(column for column in inside if places[column][0] <= begins)
            last = min(column for column in inside if places[column][1] >= ends)
        found.append((encoded["input_ids"][i], first, last))
    return found


@pytest.mark.parametrize(("length", "stride"), [(384, 128), (96, 32), (64, 200)])
def test_real_questions_are_transformers(data_dir: Path, tmp_path: Path, length: int, stride: int) -> None:
    tokenizer = Tokenizer.from_pretrained(data_dir / "weights" / "bert_tiny_splade_mlm")
    tokenizer.save_pretrained(tmp_path)
    peer = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    part = squad_part("train", data_dir / "data/squad/dev-v1.1.json.gz", training=True)
    settings = SpanSettings(max_length=length, stride=stride)
    for example in itertools.islice(part.read(), 0, 10_000, 500):
        made = SpanFeatures(settings).units([example], tokenizer, {})
        assert [(u.sequences[0].input_ids, *columns(u)) for u in made] == theirs(peer, example, settings)


def test_the_special_tokens_are_those_of_the_vocabulary() -> None:
    other = Tokenizer(Vocab((*reversed(SPECIAL_TOKENS), "a"), source="reversed"))
    framed = Framing(other, SpanSettings()).framed("a", "a a")
    assert isinstance(framed, Framed)
    ids = framed.encoding(other.vocab, framed.windows[0]).input_ids
    assert ids == [other.vocab.cls, 5, other.vocab.sep, 5, 5, other.vocab.sep]
