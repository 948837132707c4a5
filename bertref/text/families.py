"""The families of models whose tokenizers the `tokenizers` library runs, and which of them a folder holds.

    family      tokenizer_class      model_type     files
    ----------  -------------------  -------------  -------------------------------------------
    RoBERTa     RobertaTokenizer     roberta        tokenizer.json, or vocab.json and merges.txt
    XLM-R       XLMRobertaTokenizer  xlm-roberta    tokenizer.json, or sentencepiece.bpe.model
    CamemBERT   CamembertTokenizer   camembert      tokenizer.json, or sentencepiece.bpe.model
    ALBERT      AlbertTokenizer      albert         tokenizer.json, or spiece.model
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .notation import ALBERT, ROBERTA, XLM_ROBERTA, Notation, Style

VOCAB_JSON, MERGES, SPIECE, SENTENCEPIECE = "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"


@dataclass(frozen=True)
class Family:
    """One of them; `file` is what holds its vocabulary where there is no `tokenizer.json`, `unknown` the id of <unk> in
    its unigram models."""

    name: str
    tokenizer_class: str
    model_type: str
    file: str
    notation: Notation
    unknown: int | None = None


FAMILIES = (
    Family("RoBERTa", "RobertaTokenizer", "roberta", VOCAB_JSON, ROBERTA),
    Family("XLM-R", "XLMRobertaTokenizer", "xlm-roberta", SENTENCEPIECE, XLM_ROBERTA, 3),
    Family("CamemBERT", "CamembertTokenizer", "camembert", SENTENCEPIECE, XLM_ROBERTA, 3),
    Family("ALBERT", "AlbertTokenizer", "albert", SPIECE, ALBERT, 1),
)
BY_FILE = {VOCAB_JSON: FAMILIES[0], SPIECE: FAMILIES[3]}
"""What a file alone says; a `sentencepiece.bpe.model` may be XLM-R's or CamemBERT's, whose ids differ."""


def kind_of(model_type: str) -> Style:
    """The kind of pieces that a network's published models have; word pieces, if it is none of these."""
    found = (family.notation.style for family in FAMILIES if family.model_type == model_type)
    return next(found, "wordpiece")


def named_family(config: Mapping[str, Any], model: Mapping[str, Any]) -> Family | None:
    """The family that a `tokenizer_config.json` names or, if it names none, a `config.json`."""
    given = config.get("tokenizer_class")
    if isinstance(given, str):
        found = next((family for family in FAMILIES if given.removesuffix("Fast") == family.tokenizer_class), None)
        if found:
            return found
    return next((family for family in FAMILIES if family.model_type == model.get("model_type")), None)
