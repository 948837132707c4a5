"""A label for every token or word of a text, and the entities that labels such as B-PER and I-PER make.

    tokens     one record a word piece
    words      one record a word, with the label of its first piece, which alone was trained to carry it
    entities   neighbouring words of one kind together, "O" left out. The score is the mean of the words' scores.

Where an entity begins and ends is said by the letter before the kind (`SCHEME`), in any of the usual schemes: IOB1,
IOB2, BIOES, BILOU, BMES. A word that its letter does not attach to the entity before it begins a new one, so a sequence
that breaks the rules (a last word without a first one) still gives entities. Labels without a letter go on.

A text that is longer than the model reads is seen through overlapping windows; each token is judged in the one that
shows most of its surroundings. Places are those of the original string (`bertref.text.offsets`).

Source: Devlin et al. 2019, section 5.3; transformers, `TokenClassificationPipeline` with the strategy "first".
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from .. import heads
from ..errors import InputError
from ..probes import padded
from ..tasks.windows import Window, best_window, windows
from ..text import Piece
from ..text.encoding import Encoding, check_texts, frame
from .loaded import Loaded, encode, probabilities, require
from .team import Team, answered

Rows = npt.NDArray[Any]
Aggregation = Literal["tokens", "words", "entities"]
OUTSIDE = "O"
FIRST, GOES_ON, LAST, ALONE = "first", "goes on", "last", "alone"
SCHEME = {"B": FIRST, "I": GOES_ON, "M": GOES_ON, "E": LAST, "L": LAST, "S": ALONE, "U": ALONE}
"""Letter -> the place in its entity of a word whose label begins with it and "-"."""
ALWAYS, TOGETHER = frozenset("BI"), (frozenset("MES"), frozenset("LU"))
"""B and I are always read so. Others only where a kind has one of them beside B or I, so that "S-Bahn" remains a name;
then all that belong to the same scheme."""


class Span(NamedTuple):
    """A stretch of the original text, `text` = original[start:end], with its label and probability."""

    text: str
    start: int
    end: int
    label: str
    score: float


def tag(loaded: Loaded, texts: Sequence[str], *, aggregation: str | None = None) -> list[list[Span]]:
    """The labelled stretches of each text, in order.

    `aggregation` is one of `Aggregation`; None: entities if any label begins with "B-" or "I-", else words. Raises
    `InputError` for an unknown aggregation and a model without the head.
    """
    check_texts(texts)
    if aggregation is None:
        schemed = any(label[1:2] == "-" and label[0] in ALWAYS for label in loaded.labels)
        aggregation = "entities" if schemed else "words"
    if aggregation not in get_args(Aggregation):
        raise InputError(f"aggregation is {aggregation!r}; it must be one of {', '.join(get_args(Aggregation))}")
    require(loaded, "token_classification")
    located = [loaded.tokenizer.locate(text) for text in texts]
    result = []
    for text, pieces, probs in zip(texts, located, _probabilities(loaded, located), strict=True):
        best = probs.argmax(axis=1)
        spans = [
            Span(text[p.start : p.end], p.start, p.end, loaded.labels[i], float(row[i]))
            for p, i, row in zip(pieces, best, probs, strict=True)
        ]
        if aggregation != "tokens":
            spans = _words(text, pieces, spans)
        result.append(_entities(text, spans, letters_of(loaded.labels)) if aggregation == "entities" else spans)
    return result


def piece_logits(loaded: Loaded, encodings: Sequence[Encoding], team: Team | None = None) -> list[Rows]:
    """The logits (S, K) of each sequence's tokens, [CLS] and [SEP] included, on the host and in the order of the
    sequences; those of like length share a batch, and a team the batches."""

    def of_batch(some: list[Encoding]) -> list[Rows]:
        encoded, x = encode(loaded, some)
        logits, _ = heads.token_classification_forward(loaded.ops, loaded.params, encoded.sequence)
        rectangle = loaded.ops.xp.to_numpy(padded(loaded.ops.xp, logits, x.layout))
        return [rows[: len(encoding.input_ids)] for encoding, rows in zip(some, rectangle, strict=True)]

    return answered(encodings, of_batch, team)


def _probabilities(loaded: Loaded, located: Sequence[Sequence[Piece]]) -> list[Rows]:
    """For each text (pieces, labels)."""
    vocab = loaded.tokenizer.vocab
    room = loaded.config.max_length - vocab.notation.frame_tokens(pair=False)
    cut = [windows(len(pieces), room, max(room // 2, 1)) for pieces in located]
    ids = [[p.id for p in pieces] for pieces in located]
    encodings = [frame(vocab, row[a:b], None, None) for row, found in zip(ids, cut, strict=True) for a, b in found]
    logits = iter(piece_logits(loaded, encodings))
    rows = [_best(len(row), found, [next(logits)[1:-1] for _ in found]) for row, found in zip(ids, cut, strict=True)]
    return [probabilities(loaded, some) for some in rows]


def _best(count: int, found: list[Window], parts: list[Rows]) -> Rows:
    chosen = best_window(count, found)
    rows = [parts[w][i - found[w].start] for i, w in enumerate(chosen)]
    return np.stack(rows) if rows else parts[0]


def _words(text: str, pieces: Sequence[Piece], spans: list[Span]) -> list[Span]:
    starts = [i for i, p in enumerate(pieces) if i == 0 or p.word != pieces[i - 1].word]
    return [
        _joined(text, spans[first:behind], spans[first].label, spans[first].score)
        for first, behind in pairwise([*starts, len(pieces)])
    ]


def letters_of(labels: Sequence[str]) -> frozenset[str]:
    """The letters of `SCHEME` that these labels use."""
    kinds: dict[str, set[str]] = {}
    for label in labels:
        if label[1:2] == "-":
            kinds.setdefault(label[2:], set()).add(label[0])
    used = set[str]().union(*(letters for letters in kinds.values() if letters & ALWAYS))
    return ALWAYS.union(*(letters for letters in TOGETHER if letters & used))


def _entities(text: str, words: list[Span], letters: Collection[str] = ALWAYS) -> list[Span]:
    groups: list[tuple[str, list[Span]]] = []
    whole = True
    for word in words:
        lettered = word.label[1:2] == "-" and word.label[0] in letters
        place, kind = (SCHEME[word.label[0]], word.label[2:]) if lettered else (GOES_ON, word.label)
        if whole or place in (FIRST, ALONE) or groups[-1][0] != kind:
            groups.append((kind, []))
        groups[-1][1].append(word)
        whole = place in (LAST, ALONE)
    return [
        _joined(text, group, kind, float(np.mean([word.score for word in group])))
        for kind, group in groups
        if kind != OUTSIDE
    ]


def _joined(text: str, spans: list[Span], label: str, score: float) -> Span:
    start, end = spans[0].start, max(span.end for span in spans)
    return Span(text[start:end], start, end, label, score)
