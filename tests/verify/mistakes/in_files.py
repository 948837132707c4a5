"""Mistakes in the forward pass as ONNX files show them: exported by both of torch's exporters, fused, and quantised.

Where a file gives the first wrong tensor, that has to be named; where fusion hides it, the first one given that is made
from it, with the hidden one among those in between. What a mistake keeps from being fused is given.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertref.verify.graph.axes import split
from bertref.verify.graph.replay import span
from bertref.verify.graph.steps import Graph
from bertref.verify.records import Report
from tests.verify.subjects.onnx import exported

from .mistake import Mistake, Patch

HALVES = "a file may hold its model's weights in float16, and is judged by these"
ABSENT = {
    "dropout-left-on": "a file holds the model as it answers, without dropout",
    "decoder-not-tied": "the patch draws numbers inside of the model, for which the exporters know no operator",
    "tf32-products": "the patch reads numbers by their bits, for which the exporters know no operator",
    "gelu-root-of-2-with-five-digits": "onnxruntime computes its own GELU in place of the file's, by the whole √2",
    "weights-in-float16": HALVES,
    "matrices-in-float16": HALVES,
}
"""Mistakes that no file shows, and why."""
REFUSED = {("mean-not-subtracted", "fused"): "onnxruntime's optimiser meets a norm that it can't take apart, and fails"}
"""A mistake and a way in which no file of it can be made, and why."""
LOOKUP = "a lookup is what is read from a table, and what is done to it belongs to the sum"
OPERAND = "a product with a table's weights is that table's, whatever it is used for"
ELSEWHERE = {
    "sinusoids-for-learnt-positions": ("embeddings.sum", "numbers that are no table of the model's are no lookup"),
    "words-times-root-of-width": ("embeddings.sum", LOOKUP),
    "query-and-key-swapped": ("layer.0.scores", OPERAND),
    "key-and-value-swapped": ("layer.0.scores", OPERAND),
    "packed-qkv-interleaved": ("layer.0.scores", "rows of three tables in one are no table of the model's"),
}
"""Mistakes that a graph shows at a tensor behind the first that a running model shows: where, and why."""


def older(path: Path, model: Any) -> Path:
    return exported.from_torch(path, model)


def newer(path: Path, model: Any) -> Path:
    return exported.from_torch(path, model, dynamo=True)


def fused(path: Path, model: Any) -> Path:
    return exported.fused(older(path, model), path.with_stem(f"{path.stem}-fused"))


def int8(path: Path, model: Any) -> Path:
    return exported.dynamic(older(path, model), path.with_stem(f"{path.stem}-int8"), only=["MatMul"])


WAYS: dict[str, Callable[[Path, Any], Path]] = {"older": older, "newer": newer, "fused": fused, "int8": int8}
"""How a file is made of a model."""


@dataclass(frozen=True)
class InFile:
    """What the verifier said of a file with a mistake; `refused` instead of a report, if none could be made."""

    mistake: Mistake
    way: str
    first: str
    report: Report | None = None
    refused: str = ""

    @property
    def shown(self) -> str:
        """The first tensor that the file gives and that is made from the first wrong one, or is that one."""
        assert self.report is not None
        given = {finding.name for finding in self.report.findings if finding.status != "missing"}
        graph = Graph(exported.CASE)
        return next(step.name for step in graph if step.name in given and self.first in span(graph, step.name, given))

    @property
    def drowned(self) -> bool:
        """Whether the mistake is less than the file's own rounding to 8 bits: what shows it was judged, and right."""
        if self.way != "int8" or self.report is None or self.report.verdict != "right":
            return False
        return any(finding.name == self.shown and finding.status == "right" for finding in self.report.findings)

    @property
    def right(self) -> bool:
        """Whether it found what the file shows first, and counts what it hides among what may be wrong."""
        if self.report is None:
            return self.mistake.name in ABSENT or (self.mistake.name, self.way) in REFUSED
        return self.report.first == self.shown and self.first in (self.shown, *self.report.between)


def in_file(mistake: Mistake, way: str) -> InFile:
    """One mistake in one kind of file."""
    first, _ = ELSEWHERE.get(mistake.name, (mistake.expected(exported.CASE.config.num_hidden_layers), ""))
    if mistake.name in ABSENT:
        return InFile(mistake, way, first, refused=ABSENT[mistake.name])
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = _verified(Path(folder), way, mistake.patch)
        except Exception as error:  # the exporters raise what they please
            return InFile(mistake, way, first, refused=f"{type(error).__name__}: {error}".partition("\n")[0])
    return InFile(mistake, way, first, report)


def in_files(mistakes: Iterable[Mistake], ways: Iterable[str]) -> Iterator[InFile]:
    """Every mistake in the forward pass of a model for pre-training, in every kind of file."""
    for way in ways:
        for mistake in mistakes:
            if mistake.patch is not None and not mistake.case and _in_forward(mistake.first):
                yield in_file(mistake, way)


def _in_forward(name: str) -> bool:
    return not split(name)[0] and not name.startswith("loss.")


def _verified(folder: Path, way: str, change: Patch | None) -> Report:
    with contextlib.redirect_stdout(io.StringIO()):
        path = WAYS[way](folder / "model.onnx", exported.hugging_face(change, "eager"))
    return exported.verdict(path, exported.folder(folder / "model"))
