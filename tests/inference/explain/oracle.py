"""Explanations by torch's autograd through transformers' models, which take word vectors as `inputs_embeds`; words by
transformers' tokenizer; the rule of integration by scipy. Nothing of bertref."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import torch
import transformers

NODES = 200


@dataclass(frozen=True)
class Oracle:
    """One text or pair through one network; `functional` makes the target (N,) of the logits."""

    network: Any
    inputs: Any
    functional: Callable[[torch.Tensor], torch.Tensor]
    kept: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls, folder: Path, network: Any, texts: tuple[str, ...], functional: Callable[[torch.Tensor], torch.Tensor]
    ) -> "Oracle":
        tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
        return cls(network, tokenizer(*texts, return_tensors="pt"), functional)

    @property
    def ids(self) -> list[int]:
        found: list[int] = self.inputs.input_ids[0].tolist()
        return found

    def words(self) -> dict[tuple[int, int, int], list[int]]:
        """(segment, start, end) of each word -> its tokens' positions, but those that are `kept`."""
        found: dict[tuple[int, int, int], list[int]] = {}
        for i, (segment, word) in enumerate(zip(self.inputs.sequence_ids(0), self.inputs.word_ids(0), strict=True)):
            if segment is not None and i not in self.kept:
                found.setdefault((segment, *self.inputs.word_to_chars(0, word, segment)), []).append(i)
        return found

    def vectors(self, ids: list[int]) -> torch.Tensor:
        found: torch.Tensor = self.network.get_input_embeddings().weight.detach()[ids]
        return found

    def target(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N, S, H) -> (N)."""
        types = self.inputs.token_type_ids.expand(len(vectors), -1)
        logits = self.network(inputs_embeds=vectors, token_type_ids=types).logits
        return self.functional(logits)

    def gradients(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N, S, H) -> (N, S, H)."""
        leaf = vectors.clone().requires_grad_()
        (found,) = torch.autograd.grad(self.target(leaf).sum(), leaf)
        return found

    def baseline(self, x: torch.Tensor, fill: torch.Tensor | float) -> torch.Tensor:
        """x (S, H) with `fill` in place of every word's vector."""
        start = x.clone()
        for positions in self.words().values():
            start[positions] = fill
        return start

    def integrated(self) -> tuple[dict[tuple[int, int, int], float], float]:
        """The words' values, and the difference."""
        x = self.vectors(self.ids)
        start = self.baseline(x, self.vectors([0])[0])
        places, weights = (torch.tensor(a) for a in scipy.special.roots_legendre(NODES))
        grads = self.gradients(start + ((places + 1) / 2)[:, None, None] * (x - start))
        values = ((x - start) * (weights[:, None, None] / 2 * grads).sum(0)).sum(1)
        return self._by_word(values), self.difference(x, start)

    def times_input(self) -> tuple[dict[tuple[int, int, int], float], float]:
        """The words' values of gradient x input, and the difference from vectors of 0."""
        x = self.vectors(self.ids)
        return self._by_word((x * self.gradients(x[None])[0]).sum(1)), self.difference(x, self.baseline(x, 0.0))

    def difference(self, x: torch.Tensor, start: torch.Tensor) -> float:
        with torch.no_grad():
            first, last = self.target(torch.stack([start, x])).tolist()
        return float(last - first)

    def _by_word(self, values: torch.Tensor) -> dict[tuple[int, int, int], float]:
        return {word: float(values[positions].sum()) for word, positions in self.words().items()}


def check(found: Any, values: dict[tuple[int, int, int], float], difference: float, tolerance: float = 1e-9) -> None:
    """An explanation is the oracle's. In float64 the two differ by some 1e-13; every twin with a fault is further off
    than the tolerance."""
    assert [(w.segment, w.start, w.end) for w in found.words] == list(values)
    np.testing.assert_allclose([w.value for w in found.words], list(values.values()), rtol=tolerance, atol=tolerance)
    assert abs(found.difference - difference) <= tolerance * (1 + abs(difference))
    assert abs(found.sum - sum(values.values())) <= tolerance * (1 + abs(found.sum))
