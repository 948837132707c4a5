"""One row of the network's table (`topology`): what a tensor is called, and what it is made from. Data only."""

from dataclasses import dataclass
from typing import NamedTuple

OPS = "bertref/ops/"
ADD, ATTENTION, DENSE, EMBEDDING, GATHER, LAYER_NORM, RELU, SOFTMAX, TANH = (
    f"{OPS}{op}.py"
    for op in ("add", "attention", "dense", "embedding", "gather", "layer_norm", "relu", "softmax", "tanh")
)
CROSS_ENTROPY, ACTIVATION = f"{OPS}cross_entropy.py", f"{OPS}{{activation}}.py"
BINARY_CROSS_ENTROPY, SPAN_CROSS_ENTROPY, SQUARED_ERROR = (
    f"{OPS}{op}.py" for op in ("binary_cross_entropy", "span_cross_entropy", "squared_error")
)


class Parameter(NamedTuple):
    """A parameter by its canonical name, and what it is called in the maps of a report."""

    name: str
    label: str


def weight_and_bias(module: str, label: str) -> tuple[Parameter, Parameter]:
    """The two parameters of a dense layer or a norm."""
    return Parameter(f"{module}.weight", f"{label}.w"), Parameter(f"{module}.bias", f"{label}.b")


@dataclass(frozen=True)
class TensorRow:
    """One tensor. In templates `{i}` stands for a layer's number, `{x}` for what the layer reads, in a head's rows for
    the sequence output.

    name        canonical, as the probe is called
    op          what makes it: lookup, add, residual (a branch, dropped out, and the stream), layer_norm, dense, decoder
                (a dense layer over the words, whose table may be tied), scores, masked_softmax, context, activation,
                tanh, relu; losses: weighted_cross_entropy, mean_cross_entropy, mean_binary_cross_entropy,
                mean_squared_error, span_cross_entropy, inner_product (of tensors and what the batch has for them);
                of sentence embeddings mean_of_tokens, weighted_mean_of_tokens, sum_over_root (of the number of
                tokens), first_of_tokens, last_of_tokens, largest_of_tokens, joined (side by side),
                sentence_dense (a layer and its activation), unit_length
    inputs      the tensors that it is made from
    parameters  the weight first
    axes        a letter each, those of `ops.op`, J for H times the number of poolings, the tensor's name for the width
                of a layer on a text's vector; "" for a number
    counts      which of its elements mean anything: those of real "tokens", of "pairs" of them, of real "queries" (a
                padded key has the probability 0), of "predictions", of "rows" with a real token; "": all
    label       in the maps of a report
    files       where its arithmetic stands, relative to the repository; `{activation}` depends on the dialect
    module      Hugging Face's module whose output it is, or in which attention makes it; "": an input of a module
    arguments   what else of the batch is taken: the ids of a lookup, the places that a dense layer reads
                ("first_token", "masked_lm_positions"), the labels of a loss and their weights; of a layer on a text's
                vector what its weights are called, and its activation
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    axes: str
    counts: str
    label: str
    files: tuple[str, ...]
    module: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """The part of the network that it belongs to: embeddings, layer.3, mlm, ...; "" for the pooler."""
        return self.name.rpartition(".")[0]
