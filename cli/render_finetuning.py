"""What `bertref finetune` shows on the terminal."""

import math
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar

from rich.table import Table

from . import render

LEFT_OUT = frozenset({"step", "on"})
KNOWN = {
    "classification": '"A fine film."', "regression": '"A fine film."',
    "multi-label": '"A fine film."', "question-answering": '--question "Who left?" --context "Ada left."',
    "multiple-choice": '"It rained," --choice "so we left." --choice "so we sang."',
    "token-classification": '"Ada Lovelace lived in London."',
}  # fmt: skip
"""Kind of task -> what follows `predict --model DIR` in an example."""
PAIR = '"A man sings." --pair "A man is singing."'
"""The same for pairs of texts."""


class Finetuning(render.Training):
    """A fine-tuning run."""

    figures: ClassVar[dict[str, str]] = {"accuracy": "right"}

    def __init__(self, *, every_report: bool = False) -> None:
        super().__init__(every_report=every_report)
        self._kind = ""
        self._metric = ""
        self._pairs = False
        self._one_of_many = False

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        if event == "experiment":
            self._one_of_many = True
            render.message(f"Experiment {values['number']} of {values['experiments']}: {values['name']}")
        elif event == "grid":
            self._compared(values)
        else:
            super().__call__(event, values)

    def _compared(self, v: dict[str, Any]) -> None:
        """The table of a grid, one row for the experiments that differ in their seeds alone."""
        self._kind = v["kind"]
        names = list(v["rows"][0]["values"])
        table = Table(*(name.replace("_", "-") for name in names), v["metric"], "deviation", "best", "runs")
        for row in v["rows"]:
            figures = [number(row[name]) for name in ("mean", "deviation", "best")]
            table.add_row(*(str(row["values"][name]) for name in names), *figures, str(row["count"]))
        render.out.print(table)
        self._try(v["out"])

    def _start(self, v: dict[str, Any]) -> None:
        self._kind, self._metric, self._pairs = v["kind"], v["metric"], v.get("pairs", False)
        self._curve, self._last_line = [], -math.inf
        labels = f", {v['labels']} label{'s' * (v['labels'] > 1)}" if v["labels"] else ""
        render.message(f"{v['task']}: {v['examples']:,} examples{labels}; {v['parameters']:,} parameters")
        render.message(
            f"{v['steps']} steps of {v['batch_size']} ({v['epochs']:g} epochs), at most {v['max_length']} tokens, "
            f"{v['optimizer']}, peak rate {v['learning_rate']:g}, {v['precision']} on {v['backend']}"
        )
        self._begin(v)

    def _evaluated(self, v: dict[str, Any]) -> None:
        render.message(f"step {v['step']}, on {v['on']}: {shown(v)}")

    def _done(self, v: dict[str, Any]) -> None:
        if not self._ended(v):
            return
        if v["best_step"] is not None:
            value = number(v[self._metric])
            render.message(f"The best by {self._metric} ({value}) is step {v['best_step']} of {v['step']}.")
        if not self._one_of_many:
            self._try(v["out"])

    def _try(self, folder: str) -> None:
        render.message(f"The model is in {folder}. Try it:")
        example = PAIR if self._pairs else KNOWN[self._kind]
        render.out.print(f"bertref predict --model {shlex.quote(folder)} {example}", markup=False)


def number(value: float) -> str:
    """A metric's value."""
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def shown(metrics: Mapping[str, Any]) -> str:
    """Metrics in one line."""
    return "  ".join(
        f"{name} {number(value)}" for name, value in metrics.items() if name not in LEFT_OUT
    )  # fmt: skip
