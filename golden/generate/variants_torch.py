"""RoBERTa, DistilBERT and ALBERT written out in torch: what of the model in `model_torch` each has otherwise.

Parameters have BERT's names. Formulas are those of Liu et al. 2019, Sanh et al. 2019 and Lan et al. 2020.
"""

from typing import Any

import torch

from .model_torch import Network


class WordsAlone(Network):
    """A network without a pooler, and without next sentences."""

    def heads(self, x: Any, b: dict[str, Any]) -> None:
        """The head of masked words and both losses, which are equal."""
        self.see("loss.total", 1.0 * self.words(x, b))


class Roberta(WordsAlone):
    """Positions are counted among the tokens that aren't the padding id, from the padding id + 1 on."""

    padding = 1

    def positions(self, ids: Any) -> Any:
        real = (ids != self.padding).long()
        return torch.cumsum(real, 1) * real + self.padding


class Albert(Network):
    """Narrow embeddings and a projection; all layers have the parameters of the first."""

    def embeddings(self, ids: Any, types: Any) -> Any:
        narrow = super().embeddings(ids, types)
        return self.see("embeddings.projection", self.dense(narrow, "bert.embeddings.projection"))

    def stored(self, number: int) -> int:
        return 0
