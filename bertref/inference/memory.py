"""A model in memory that no folder holds: what predictors need of one (`loaded.Loaded`), while it is trained."""

from dataclasses import dataclass

from ..arrays import Array
from ..checkpoint.text_windows import TextWindows
from ..config import BertConfig, Numerics
from ..opset import OpSet
from ..text import Tokenizer


@dataclass(frozen=True)
class InMemory:
    """As `bertref.api.Model`, without its methods."""

    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer
    params: dict[str, Array]
    ops: OpSet
    packed: bool
    heads: tuple[str, ...]
    labels: tuple[str, ...] = ()
    problem_type: str | None = None
    activation: str | None = None
    windows: TextWindows | None = None
