"""How a family of models writes its tokens: what the special ones are called, how a piece says that it begins a word or
continues one, and how segments are framed.

    family                      style       special tokens                      a pair
    --------------------------  ----------  ----------------------------------  ------------------------------------
    BERT, DistilBERT            wordpiece   [PAD] [UNK] [CLS] [SEP] [MASK]      [CLS] A [SEP] B [SEP], types 0 and 1
    ALBERT                      unigram     <pad> <unk> [CLS] [SEP] [MASK]      [CLS] A [SEP] B [SEP], types 0 and 1
    RoBERTa                     byte-level  <pad> <unk> <s> </s> <mask>         <s> A </s></s> B </s>, types 0
    XLM-R, CamemBERT            unigram     as RoBERTa                          as RoBERTa

Style: "wordpiece" marks what continues a word (`##ing`), "byte-level" and "unigram" what has a space before it (`Ġthe`,
`▁the`), and so, as a rule, begins a word.

Sources: Devlin et al. 2019, section 3; Liu et al. 2019, section 4.4; Lan et al. 2020, section 4.1; Conneau et al. 2020,
section 3.2; fairseq, `models/roberta/hub_interface.py`, `encode`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Style = Literal["wordpiece", "byte-level", "unigram"]
CONTINUES = "##"
"""What a word piece that is not the first of its word begins with."""
BEGINS: dict[Style, str] = {"byte-level": "Ġ", "unigram": "▁"}
"""Style -> what stands for the space before a piece."""


@dataclass(frozen=True)
class Notation:
    """The conventions of one vocabulary; the names of the special tokens in the order of `names`.

    separators   how many `sep` stand between the segments of a pair
    second_type  token type of the second segment
    """

    style: Style
    pad: str
    unk: str
    cls: str
    sep: str
    mask: str
    separators: int = 1
    second_type: int = 1

    @property
    def names(self) -> tuple[str, str, str, str, str]:
        """The special tokens."""
        return self.pad, self.unk, self.cls, self.sep, self.mask

    def called(self, names: Mapping[str, Any]) -> "Notation":
        """The same with other names (role, as "cls" -> token), or settings."""
        return replace(self, **names)

    def frame_tokens(self, *, pair: bool) -> int:
        """How many special tokens stand around one segment, or around and between two."""
        return 2 + self.separators if pair else 2

    def continues(self, token: str) -> bool:
        """Whether a piece continues the word to its left. Special tokens don't."""
        if self.style == "wordpiece":
            return token.startswith(CONTINUES)
        return not token.startswith(BEGINS[self.style]) and token not in self.names


BERT = Notation("wordpiece", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALBERT = Notation("unigram", "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = Notation("byte-level", "<pad>", "<unk>", "<s>", "</s>", "<mask>", separators=2, second_type=0)
XLM_ROBERTA = Notation("unigram", "<pad>", "<unk>", "<s>", "</s>", "<mask>", separators=2, second_type=0)
