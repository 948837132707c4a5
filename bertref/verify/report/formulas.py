"""For every answer: what it is made of, and the file of bertref where that is written down, forward and backward.

A formula names the very tensors that a step is made from, so that they can be looked at next. Which these are says the
network's table; here stands a template for each kind of op in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...config import BertConfig
from ...optim import RULES
from ...row import ADD, DENSE, GATHER, SOFTMAX, TensorRow
from ...topology import readers, rows, users
from ..graph.axes import split
from ..records import PRETRAINING

FORWARD = {
    "lookup": "the rows {ids} of {weight}",
    "add": "{sum}",
    "residual": "{sum}",
    "layer_norm": "layer_norm({x}) with {module}, {epsilon}",
    "dense": "{read} @ {weight}.T + {bias}",
    "decoder": "{read} @ {weight}.T + {bias}",
    "scores": "{x} @ {y}.T in every head, over sqrt(head size)",
    "masked_softmax": "softmax over the keys of {x} + mask",
    "context": "{x} @ {y} in every head, the heads side by side",
    "activation": "{activation}({x})",
    "tanh": "tanh({x})",
    "relu": "max({x}, 0)",
    "weighted_cross_entropy": "cross entropy of {x} and {labels}, weighted by {weights}, over their sum",
    "mean_cross_entropy": "mean cross entropy of {x} and {labels}",
    "mean_squared_error": "mean of ({x} - {labels})^2",
    "mean_binary_cross_entropy": "mean over all labels of log(1 + exp {x}) - {labels} * {x}",
    "span_cross_entropy": "mean of the cross entropies, over each row's tokens, of {x} and {labels}, and {weights}",
    "inner_product": "the sum of {given}",
    "mean_of_tokens": "the mean of {x} over each row's tokens",
    "weighted_mean_of_tokens": "the mean of {x} over each row's tokens, weighted by 1, 2, ...",
    "sum_over_root": "the sum of {x} over each row's tokens, over the root of their number",
    "first_of_tokens": "{x} at each row's first token",
    "last_of_tokens": "{x} at each row's last token",
    "largest_of_tokens": "the largest of {x} over each row's tokens",
    "joined": "{all}, side by side",
    "sentence_dense": "{weights}({x} @ {labels}.weight.T + {labels}.bias)",
    "unit_length": "{x} over its length",
}
"""Op -> what it makes of its inputs {x} and {y}."""

BACKWARD = {
    "add": ("{dy}", "{dy}", "{dy}"),
    "residual": ("{dy} (dropout is off)", "{dy}"),
    "layer_norm": ("backward of layer_norm from {dy} at {x}, {epsilon}",),
    "dense": ("{dy} @ {weight}",),
    "decoder": ("{dy} @ {weight}",),
    "scores": ("{dy} @ {y} in every head, over sqrt(head size)", "{dy}.T @ {x} in every head, over sqrt(head size)"),
    "masked_softmax": ("backward of softmax from {dy} at {made}",),
    "context": ("{dy} @ {y}.T in every head", "{x}.T @ {dy} in every head"),
    "activation": ("backward of {activation} from {dy} at {x}",),
    "tanh": ("backward of tanh from {dy} at {made}",),
    "relu": ("{dy} where {made} > 0",),
    "weighted_cross_entropy": ("backward of the cross entropy from {dy} at {x}",),
    "mean_cross_entropy": ("backward of the cross entropy from {dy} at {x}",),
    "mean_squared_error": ("2 * ({x} - {labels}) * {dy}, over their number",),
    "mean_binary_cross_entropy": ("(sigmoid({x}) - {labels}) * {dy}, over their number",),
    "span_cross_entropy": ("backward of both cross entropies from {dy} at {x}",),
    "inner_product": ("{dy} * {labels}", "{dy} * {weights}"),
    "mean_of_tokens": ("{dy} over the number of the row's tokens, for each of them",),
    "unit_length": ("({dy} less its part along {made}) over the length of {x}",),
}
"""Op -> the gradient of each of its inputs, from that of what it {made}, {dy}."""

PARAMETERS = {
    "lookup": ("{dy} added up by row",),
    "layer_norm": ("the sum over all rows of {dy} times the normalised {x}", "the sum of {dy} over all rows"),
    "dense": ("{dy}.T @ {read}", "the sum of {dy} over all rows"),
    "decoder": ("{dy}.T @ {x} (the decoder is tied)", "the sum of {dy} over all rows"),
}
"""Op -> the gradients of its parameters."""

PLACES = {
    "first_token": ("at the first token", "the first ones"),
    "masked_lm_positions": ("at masked_lm_positions", "the predicted positions"),
}
"""Which rows of its input a dense layer reads, and where their gradients go."""

IDS = {
    "positions": "0, 1, 2, ...",
    "positions_from_padding": "pad_token_id + 1, 2, 3, ... (pad_token_id where that is the id)",
}
"""Which rows of its table a lookup takes, where the batch doesn't say it."""

BACKWARD_FILES = {"dense": (DENSE,), "masked_softmax": (SOFTMAX,)}
"""Where the way back stands, if not with the whole of the way forward."""


@dataclass(frozen=True)
class Formula:
    """`text` is what the answer is; `files` are where its arithmetic stands, relative to the repository."""

    text: str
    files: tuple[str, ...]


def formula(name: str, case: Mapping[str, Any]) -> Formula:
    """The formula of a canonical name; `case` is a report's: its config and numerics name activation and optimiser."""
    prefix, rest = split(name)
    if prefix == "update":
        kind = case["optimizer"]["kind"]
        text = f"one step of {kind} from grad:NAME of all parameters, which are clipped together first"
        return Formula(text, (f"{RULES[kind].update.__module__.replace('.', '/')}.py", "bertref/optim/clip.py"))
    table = _Table(case)
    if not prefix:
        return table.forward(rest)
    return table.parameter(rest) if rest in table.users else table.backward(rest)


def rows_of(case: Mapping[str, Any]) -> tuple[TensorRow, ...]:
    """The table of the network of a report's case."""
    heads, objective = tuple(case.get("heads", PRETRAINING)), case.get("objective", "pretraining")
    how: dict[str, Any] = {"tied": case.get("tied", True), "embedding": tuple(case.get("embedding", ()))}
    return rows(BertConfig(**case["config"]), heads, objective, **how)


class _Table:
    """The templates of a network's rows, filled in."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        found, config, numerics = rows_of(case), case["config"], case["numerics"]
        self._rows, self._readers, self.users = {row.name: row for row in found}, readers(found), users(found)
        self._activation = f"gelu_{numerics['gelu']}" if config["hidden_act"] == "gelu" else str(config["hidden_act"])
        self._epsilon = f"epsilon {numerics['layer_norm_eps']:g}"

    def forward(self, name: str) -> Formula:
        row = self._rows[name]
        return Formula(self._filled(FORWARD[row.op], row), self._files(row.files))

    def backward(self, name: str) -> Formula:
        """The gradient of a tensor: what its readers hand back, added up."""
        reading = self._readers[name]
        if not reading:
            return Formula("1", self._files(self._rows[name].files))
        if any(row.arguments for row in reading if row.op == "dense"):
            return Formula(" plus ".join(self._gathered(row, name) for row in reading), (DENSE, GATHER))
        first, *others = reading
        if len(others) > 1:
            names = [f"grad:{row.name}" for row in others]
            text = f"grad:{first.name} + {', '.join(names[:-1])} and {names[-1]} through their weights"
            return Formula(text, (DENSE, ADD))
        if others:
            return Formula(f"grad:{first.name} + {self._handed_back(others[0], name)}", (DENSE, ADD))
        return Formula(self._handed_back(first, name), self._files(BACKWARD_FILES.get(first.op, first.files)))

    def _gathered(self, row: TensorRow, name: str) -> str:
        """What a reader hands back to the rows that it read."""
        if row.op != "dense":
            return self._handed_back(row, name)
        return f"what grad:{row.name} gives {PLACES[row.arguments[0]][1]}"

    def _handed_back(self, row: TensorRow, name: str) -> str:
        return self._filled(BACKWARD[row.op][row.inputs.index(name)], row)

    def parameter(self, name: str) -> Formula:
        """The gradient of a parameter: what the rows that have it make, added up."""
        texts: list[str] = []
        files: list[str] = []
        for row in self.users[name]:
            number = [parameter.name for parameter in row.parameters].index(name)
            texts.append(self._filled(PARAMETERS[row.op][number], row))
            files += BACKWARD_FILES.get(row.op, row.files)
        return Formula(" + ".join(texts), self._files(files))

    def _filled(self, template: str, row: TensorRow) -> str:
        x, y = (*row.inputs, "", "")[:2]
        weight, bias = (*(name for name, _ in row.parameters), "", "")[:2]
        first, second = (*row.arguments, "", "")[:2]
        at = f" {PLACES[first][0]}" if first in PLACES else ""
        return template.format(
            x=x, y=y, read=x + at, sum=" + ".join(row.inputs), all=", ".join(row.inputs), made=row.name,
            dy=f"grad:{row.name}", weight=weight,
            given=" + ".join(f"{one} * {other}" for one, other in zip(row.inputs, row.arguments, strict=False)),
            bias=bias, module=weight.removesuffix(".weight"), ids=IDS.get(first, first),
            labels=first, weights=second, activation=self._activation, epsilon=self._epsilon,
        )  # fmt: skip

    def _files(self, files: Iterable[str]) -> tuple[str, ...]:
        return tuple(file.format(activation=self._activation) for file in files)
