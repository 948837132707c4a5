"""Vectors of many texts, a stream in and a stream out: token vectors of chosen layers, and vectors of whole texts.

A line is a text, or two texts with " ||| " between them; an empty line is an empty text, so that results and lines
correspond. Longer texts are cut, of two the longer one first.

Source: google-research/bert, `extract_features.py`, whose layers, line format and truncation these are.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..probes import Probe, Recorder
from ..text.encoding import Encoding
from .loaded import Loaded, by_length, framed_and_cut, inputs_of, run
from .sentence_transformers.embeddings import POOLED, one_pooling, prepared, vectors
from .sentence_transformers.modules import EmbeddingModules
from .sentence_transformers.pooling import MODES, check_mode, normalized

PAIR = re.compile(r"^(.*) \|\|\| (.*)$")
DEFAULT_LENGTH = 128
EMBEDDING = "embedding"
WHOLE = (*MODES, POOLED, EMBEDDING)
"""Vectors of whole texts; `embedding` is what the folder's recipe makes."""
CHUNK = 64
"""Texts whose vectors are in memory together: 100 MB for four layers of BERT-Base at 128 tokens."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class FeatureOptions:
    """What is wanted.

    layers          -1 is the last layer, -2 the one before, ...; 0 the first
    whole           names of `WHOLE`
    normalize       vectors of whole texts to length 1; None: only what the recipe says of `embedding`
    max_seq_length  tokens with [CLS] and [SEP]; None: the recipe's, else 128, or what the model reads if that is less
    """

    layers: tuple[int, ...] = (-1,)
    whole: tuple[str, ...] = ()
    normalize: bool | None = None
    max_seq_length: int | None = None


@dataclass(frozen=True)
class TextVectors:
    """One text: S ids, layers by number (S, H), vectors of the whole text by name (width,)."""

    input_ids: list[int]
    layers: dict[int, Floats] = field(default_factory=dict)
    whole: dict[str, Floats] = field(default_factory=dict)


def split_line(line: str) -> tuple[str, str | None]:
    """A line -> text and, after " ||| ", second text or None."""
    line = line.strip()
    match = PAIR.match(line)
    return (match[1], match[2]) if match else (line, None)


class Extractor:
    """A model and what is wanted of it, checked once; then texts in, features out. `cut` counts the texts cut."""

    def __init__(self, loaded: Loaded, recipe: EmbeddingModules | None, options: FeatureOptions) -> None:
        self.loaded, self.options = loaded, options
        self.recipe = recipe or EmbeddingModules()
        if options.normalize is not None:
            self.recipe = replace(self.recipe, normalize=options.normalize)
        L, limit = loaded.config.num_hidden_layers, loaded.config.max_length
        for layer in options.layers:
            if not -L <= layer < L:
                raise InputError(f"there is no layer {layer}; the model has {L}, which are {-L} to {L - 1}")
        for name in options.whole:
            check_mode(name, WHOLE)
        if POOLED in (*options.whole, *self.recipe.poolings) and "bert.pooler.dense.weight" not in loaded.params:
            raise InputError(f"this model has no pooler; choose another pooling: {', '.join(MODES)}")
        wanted = options.max_seq_length
        if wanted is not None and not 3 <= wanted <= limit:
            raise InputError(f"the maximal length is {wanted}; it must be 3 to {limit}, which is what the model reads")
        self.max_length = min(wanted or self.recipe.max_length or DEFAULT_LENGTH, limit)
        self.cut = 0

    def encodings(self, lines: Sequence[str]) -> list[Encoding]:
        """Lines -> ids, cut to the length."""
        split = [split_line(line) for line in lines]
        found: list[Encoding] = [Encoding([], [])] * len(split)
        for pairs in (False, True):
            places = [i for i, (_, second) in enumerate(split) if (second is not None) == pairs]
            first = prepared(self.recipe, [split[i][0] for i in places])
            second = self._second([split[i][1] or "" for i in places]) if pairs else None
            some, cut = framed_and_cut(self.loaded, first, second, self.max_length)
            self.cut += cut
            for place, encoding in zip(places, some, strict=True):
                found[place] = encoding
        return found

    def _second(self, texts: list[str]) -> list[str]:
        """Second texts, which have no prompt."""
        return prepared(replace(self.recipe, prompt=""), texts)

    def stream(self, lines: Iterable[str]) -> Iterator[TextVectors]:
        """Features in the order of the lines; memory holds `CHUNK` of them."""
        iterator = iter(lines)
        while some := list(islice(iterator, CHUNK)):
            encodings = self.encodings(some)
            yield from self.features(encodings)

    def features(self, encodings: Sequence[Encoding]) -> Iterator[TextVectors]:
        """Features in the order of the encodings; all are computed first, those of like length in one batch."""
        found: dict[int, TextVectors] = {}
        for some in by_length(encodings):
            found |= zip(some, self._batch([encodings[i] for i in some]), strict=True)
        for i in range(len(encodings)):
            yield found.pop(i)

    def _batch(self, encodings: Sequence[Encoding]) -> Iterator[TextVectors]:
        loaded, xp = self.loaded, self.loaded.ops.xp
        L = loaded.config.num_hidden_layers
        names = {layer: f"layer.{layer % L}.output" for layer in self.options.layers}
        recorder = Recorder(set(names.values()))
        x = inputs_of(loaded, encodings)
        encoded = run(loaded, x, Probe(recorder, xp, x.layout))
        values = recorder.to_numpy(xp)
        whole: dict[str, Any] = {}
        for name in self.options.whole:
            if name == EMBEDDING:
                made = vectors(loaded, self.recipe, encoded, x)
            else:
                made = one_pooling(loaded, encoded, x, name)
                made = normalized(xp, made) if self.options.normalize else made
            whole[name] = xp.to_numpy(made)
        for b, encoding in enumerate(encodings):
            length = len(encoding.input_ids)
            yield TextVectors(
                encoding.input_ids,
                {layer: values[name][b, :length] for layer, name in names.items()},
                {name: rows[b] for name, rows in whole.items()},
            )
