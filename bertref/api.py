"""The Python API for a trained model: encode texts, fill masks, judge sentence pairs, look inside."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import backends, heads, model
from .arrays import Array
from .checkpoint import load_model
from .config import BertConfig, Numerics
from .errors import InputError
from .layers import Settings
from .layout import Inputs, inputs
from .opset import OpSet
from .precision import cast
from .probes import Probe, Recorder
from .text import Tokenizer

BATCH = 32


class Guess(NamedTuple):
    """One candidate for a mask."""

    token: str
    id: int
    probability: float


class MaskGuesses(NamedTuple):
    """The candidates for one mask, best first; `position` counts the model's tokens from [CLS] = 0."""

    position: int
    top: list[Guess]


@dataclass(frozen=True)
class Model:
    """A model in memory on one backend; `load` makes it. `params` are arrays of the backend in the compute dtype."""

    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer
    params: dict[str, Array]
    ops: OpSet
    packed: bool = True

    def predict(self, text: str, *, top_k: int = 5) -> list[MaskGuesses]:
        """The `top_k` likeliest words for every [MASK] of a text. Raises `InputError` if it has no mask."""
        return self.predict_batch([text], top_k=top_k)[0]

    def predict_batch(self, texts: Sequence[str], *, top_k: int = 5) -> list[list[MaskGuesses]]:
        """`predict` for many texts: their masks' candidates, in the order of the texts."""
        if top_k < 1:
            raise InputError(f"top_k is {top_k}; it must be at least 1")
        result: list[list[MaskGuesses]] = []
        for ids, types in self._encoded(texts, None):
            result += self._fill(ids, types, top_k, texts, len(result))
        return result

    def next_sentence(self, first: str, second: str) -> float:
        """The probability that `second` follows `first` in its document."""
        return self.next_sentence_batch([first], [second])[0]

    def next_sentence_batch(self, first: Sequence[str], second: Sequence[str]) -> list[float]:
        """`next_sentence` for many pairs."""
        result: list[float] = []
        for ids, types in self._encoded(first, second):
            x = self._inputs(ids, types)
            encoded, _ = model.forward(self.ops, self.params, x, self._settings)
            if encoded.pooled is None or heads.NEXT_SENTENCE + "weight" not in self.params:
                raise InputError("this model has no next-sentence head")
            logits, _ = heads.next_sentence_forward(self.ops, self.params, encoded.pooled)
            probs, _ = self.ops.softmax.forward(logits)
            result += [float(p) for p in self.ops.xp.to_numpy(probs)[:, 0]]
        return result

    def encode(self, texts: Sequence[str]) -> npt.NDArray[Any]:
        """The last layer's vectors of the texts, (len(texts), longest, H), 0 at the padding."""
        return self.features(texts, ["sequence"])["sequence"]

    def features(self, texts: Sequence[str], names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
        """Any probes (`bertref.probes.probe_names`) of the texts as one batch, and `sequence`, the last layer's output.

        Raises `InputError` for a name that is no forward probe of the encoder.
        """
        last = f"layer.{self.config.num_hidden_layers - 1}.output"
        wanted = {last if name == "sequence" else name for name in names}
        recorder = Recorder(wanted)
        encodings = self.tokenizer.encode_batch(texts, None, self.config.max_position_embeddings)
        ids, types = [e.input_ids for e in encodings], [e.token_type_ids for e in encodings]
        x = self._inputs(ids, types)
        model.forward(self.ops, self.params, x, self._settings, probe=Probe(recorder, self.ops.xp, x.layout))
        missing = wanted - set(recorder.values)
        if missing:
            raise InputError(f"features: no probe {', '.join(sorted(missing))} in this model's encoder")
        found = recorder.to_numpy(self.ops.xp)
        return {name: found[last if name == "sequence" else name] for name in names}

    @property
    def _settings(self) -> Settings:
        return Settings(self.config, self.numerics)

    def _encoded(
        self, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
        """Batches of (ids, token types); texts too long for the model are refused, not cut."""
        encodings = self.tokenizer.encode_batch(texts, pairs)
        limit = self.config.max_position_embeddings
        for i, encoding in enumerate(encodings):
            if len(encoding.input_ids) > limit:
                raise InputError(
                    f"text {i + 1} has {len(encoding.input_ids)} tokens; this model reads at most {limit}. Shorten it"
                )
        for start in range(0, len(encodings), BATCH):
            some = encodings[start : start + BATCH]
            yield [e.input_ids for e in some], [e.token_type_ids for e in some]

    def _inputs(self, ids: list[list[int]], types: list[list[int]]) -> Inputs:
        B, S = len(ids), max((len(row) for row in ids), default=0)
        table, mask, segments = (np.zeros((B, S), np.int64) for _ in range(3))
        for b, row in enumerate(ids):
            table[b, : len(row)], mask[b, : len(row)], segments[b, : len(row)] = row, 1, types[b]
        return inputs(self.ops.xp, table, mask, segments, packed=self.packed)

    def _fill(
        self, ids: list[list[int]], types: list[list[int]], top_k: int, texts: Sequence[str], done: int
    ) -> list[list[MaskGuesses]]:
        vocab, xp = self.tokenizer.vocab, self.ops.xp
        if heads.DECODER_BIAS not in self.params:
            raise InputError("this model has no masked-language-model head")
        places = [[i for i, token in enumerate(row) if token == vocab.mask] for row in ids]
        for b, found in enumerate(places):
            if not found:
                raise InputError(f"no [MASK] in {texts[done + b]!r}; put [MASK] where a word is to be guessed")
        x = self._inputs(ids, types)
        starts = xp.to_numpy(x.layout.first)
        rows = np.array([starts[b] + i for b, found in enumerate(places) for i in found], np.int64)
        encoded, _ = model.forward(self.ops, self.params, x, self._settings)
        logits = heads.masked_lm_logits(self.ops, self.params, encoded.sequence, xp.from_numpy(rows), self._settings)
        probs = xp.to_numpy(self.ops.softmax.forward(logits)[0])[:, : len(vocab)]
        best = np.argsort(-probs, axis=1, kind="stable")[:, :top_k]
        guesses = iter(
            [[Guess(vocab.tokens[i], int(i), float(p[i])) for i in row] for row, p in zip(best, probs, strict=True)]
        )
        return [[MaskGuesses(i, next(guesses)) for i in found] for found in places]


def load(folder: str | Path, *, backend: str = "numpy", dtype: str = "float32", kernels: bool = True) -> Model:
    """A model folder (as `pretrain` or Hugging Face writes it) -> `Model` on a backend, computing in `dtype`.

    Raises `CheckpointError` if the folder can't be read, `InputError` if the backend can't compute in that dtype.
    """
    chosen = backends.get(backend)
    if dtype not in chosen.dtypes:
        raise InputError(f"{backend} computes in {', '.join(chosen.dtypes)}, not in {dtype}")
    saved = load_model(folder)
    params = {name: chosen.xp.from_numpy(array) for name, array in saved.params.items()}
    return Model(
        saved.config, saved.numerics, saved.tokenizer, cast(chosen.xp, params, dtype),
        OpSet(chosen, kernels=kernels), packed=not chosen.static_shapes,
    )  # fmt: skip
