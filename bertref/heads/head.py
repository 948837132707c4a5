"""What is known of a head, in one record: its parameters, its names elsewhere, what it is good for, its functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..arrays import Array
from ..layers import Settings
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe
from ..row import TensorRow

Answer = Callable[[OpSet, dict[str, Array], Array, Settings, Layout, Probe | None], dict[str, Array]]


class Use(NamedTuple):
    """What a head is good for, and what follows `bertref predict --model DIR` in an example of it."""

    purpose: str
    example: str


@dataclass(frozen=True)
class Head:
    """One head. A new one is a file with its record and a line in `registry.HEADS`.

    name           by which the package calls it
    parameters     canonical name -> shape, in the letters of `ops.op`; "labels" is the number of labels. Heads may
                   share names (three have a `classifier`): a model then has one of them
    architectures  Hugging Face's classes of a model with this head alone; a file is written as the first
    pooler         whether it reads the pooled output (B, H) and not the sequence (T, H)
    task           what it does, by the name that users give it
    use            for `bertref info`
    outputs        what `answer` gives; Hugging Face calls a single one `logits`
    forward        (ops, params, what it reads, ...) -> (logits, cache)
    backward       (ops, dlogits, cache, probe) -> (gradient of what it read, gradients of its parameters). The masked
                   language model's pair ends at the vectors that the decoder compares: training fuses the decoder with
                   the loss
    answer         (ops, params, what it reads, settings, layout, probe) -> outputs by name, those over tokens (B, S, K)
    rows           its tensors in the table of the network (`topology`)
    labelled       the parameter that has a row for each label, "" if the head has no labels
    tensorflow     canonical name -> the original's variable, where that doesn't follow from the name
    """

    name: str
    parameters: Mapping[str, tuple[str, ...]]
    architectures: tuple[str, ...]
    pooler: bool
    task: str
    use: Use
    outputs: tuple[str, ...]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    answer: Answer
    rows: tuple[TensorRow, ...]
    labelled: str = ""
    tensorflow: Mapping[str, str] = field(default_factory=dict)


class Combination(NamedTuple):
    """Heads that come together under one name, and Hugging Face's class for them."""

    heads: tuple[str, ...]
    architecture: str
