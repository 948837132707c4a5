"""ONNX Runtime with all optimisations.

Two files are tried, and the faster is raced: the one that `bertref convert` writes, optimised by the session at its
highest level; and the model in ONNX Runtime's own fused operators (`onnx_fused`).
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...checkpoint import SavedModel, load_model
from ...heads import parameter_shapes
from ...onnx_export import export
from .. import classifying_inputs, inputs
from ..job import Job
from . import STEP
from .libraries import library
from .library_tokenizer import LibraryTokenizer
from .onnx_fused import can_be_fused, write_fused
from .ours import FEW

TRIALS = 2


class _Session:
    """The exported model in a session, with `heads` on top."""

    units = (STEP,)
    outputs: tuple[str, ...]

    def __init__(self, job: Job, heads: Sequence[str]) -> None:
        self.runtime = library("onnxruntime")
        library("onnx")
        self.job = job
        folder = Path(job.folder)
        saved = load_model(job.model_folder)
        names = parameter_shapes(saved.config, heads)
        kept = {name: array for name, array in saved.params.items() if name in names}
        plain = folder / f"{job.work}.onnx"
        export(kept, saved.config, saved.numerics, plain, heads=heads)
        files = {"as exported": plain}
        if can_be_fused(saved.config, saved.numerics):
            files["fused operators"] = folder / f"{job.work}-fused.onnx"
            write_fused(files["fused operators"], saved.params, saved.config, saved.numerics, heads=heads)
        self.batches = self.made(saved)
        del saved, kept
        seconds = {name: self._try(path) for name, path in files.items()}
        chosen = min(seconds, key=lambda name: seconds[name])
        self.session = self._open(files[chosen])
        self.about = {
            "name": "onnxruntime", "version": self.runtime.__version__, "optimization": "all", "file": chosen,
            "tried": seconds,
        }  # fmt: skip

    def made(self, saved: SavedModel) -> list[dict[str, Any]]:
        """The arguments of every batch of the job, those of the first at least: on it the files are tried."""
        rows = [self.row(row) for row in inputs.rows(self.job, saved.config.vocab_size)]
        size = self.job.batch_size
        return [inputs.padded(rows[i : i + size]) for i in range(0, len(rows), size)]

    def row(self, row: list[int]) -> list[int]:
        """A sequence as this command wants it."""
        return row

    def _open(self, path: Path) -> Any:
        options = self.runtime.SessionOptions()
        options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = self.job.threads
        options.log_severity_level = 3
        return self.runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def _try(self, path: Path) -> float:
        """Seconds of the first batch, after one time to warm up."""
        self.session = self._open(path)
        self.answer(self.batches[0])
        times = []
        for _ in range(TRIALS):
            start = time.perf_counter()
            self.answer(self.batches[0])
            times.append(time.perf_counter() - start)
        return min(times)

    def answer(self, batch: dict[str, Any]) -> npt.NDArray[Any]:
        """The output that is wanted, for a batch."""
        names = {given.name for given in self.session.get_inputs()}
        found = self.session.run(list(self.outputs), {n: a for n, a in batch.items() if n in names})[0]
        return np.asarray(found)

    def run(self, unit: str) -> None:
        for batch in self.batches:
            self.answer(batch)


class EncodingSide(_Session):
    """The last layer's vectors of batches in file order, each padded to its longest sequence."""

    outputs = ("last_hidden_state",)

    def __init__(self, job: Job) -> None:
        super().__init__(job, ("pooler",))

    def figures(self) -> dict[str, Any]:
        """As `ours.Encoding.figures`."""
        found = self.answer(self.batches[0])
        return {f"vector of text {i + 1}": found[i, 0].tolist() for i in range(min(FEW, len(found)))}


class PredictionSide(_Session):
    """The logits of every position, then softmax and the five best at the masks."""

    outputs = ("prediction_logits",)

    def __init__(self, job: Job) -> None:
        super().__init__(job, ("masked_lm",))

    def row(self, row: list[int]) -> list[int]:
        return inputs.with_a_mask(row)

    def best(self, batch: dict[str, Any]) -> npt.NDArray[Any]:
        """(B, 5) probabilities."""
        logits = self.answer(batch)[batch["input_ids"] == inputs.MASK]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        best = -np.partition(-powers, 5, axis=1)[:, :5]
        return np.asarray(-np.sort(-best, axis=1) / powers.sum(axis=1, keepdims=True))

    def figures(self) -> dict[str, Any]:
        """As `ours.Prediction.figures`."""
        found = self.best(self.batches[0])
        return {f"best of text {i + 1}": found[i].tolist() for i in range(min(FEW, len(found)))}

    def run(self, unit: str) -> None:
        for batch in self.batches:
            self.best(batch)


class ClassificationSide(_Session):
    """From text: the `tokenizers` library, batches in file order, each padded to its longest, the classifier's logits
    and their softmax."""

    outputs = ("logits",)

    def __init__(self, job: Job) -> None:
        self.texts = classifying_inputs.batches(job)
        super().__init__(job, classifying_inputs.HEADS)
        self.about["tokenizer"] = "tokenizers"

    def made(self, saved: SavedModel) -> list[dict[str, Any]]:
        self.tokenizer = LibraryTokenizer(saved.tokenizer, saved.config.max_length)
        return [self.tokenizer.batch(self.texts[0])]

    def probabilities(self, texts: list[str]) -> npt.NDArray[Any]:
        """(B, K)."""
        logits = self.answer(self.tokenizer.batch(texts))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def figures(self) -> dict[str, Any]:
        """As `ours.ClassificationSide.figures`."""
        found = self.probabilities(self.texts[0])
        return {f"probabilities of text {i + 1}": found[i].tolist() for i in range(min(FEW, len(found)))}

    def run(self, unit: str) -> None:
        for texts in self.texts:
            self.probabilities(texts).tolist()
