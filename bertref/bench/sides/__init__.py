"""The contestants: each does a job's work, in a worker of its own. The libraries are imported when one is made."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol

from ..job import Job

STEP = "step"
"""The one unit of work of every command but `ops`, whose units are the ops' names."""


class Side(Protocol):
    """What a worker needs of a contestant.

    about    plain values: the library, its version, and what was chosen of it
    units    the pieces of work that are timed, each by itself
    """

    @property
    def about(self) -> dict[str, Any]: ...
    @property
    def units(self) -> Sequence[str]: ...

    def figures(self) -> dict[str, Any]:
        """Numbers and lists of numbers by name, made with dropout off: what `agreement.check` compares."""

    def run(self, unit: str) -> None:
        """The work once."""


HOMES: dict[tuple[str, str], tuple[str, str]] = {
    ("ours", "pretrain"): ("ours", "PretrainingSide"),
    ("ours", "parallel"): ("ours_parallel", "ParallelSide"),
    ("ours", "finetune"): ("ours", "FinetuningSide"),
    ("ours", "encode"): ("ours", "EncodingSide"),
    ("ours", "predict"): ("ours", "PredictionSide"),
    ("ours", "classify"): ("ours", "ClassificationSide"),
    ("ours", "ops"): ("ours_ops", "Ops"),
    ("ours", "tokenize"): ("ours_text", "Tokenizing"),
    ("ours", "prepare"): ("ours_text", "Preparing"),
    ("reference", "tokenize"): ("ours_text", "ReadableTokenizing"),
    ("reference", "prepare"): ("ours_text", "ReadablePreparing"),
    ("transformers", "pretrain"): ("huggingface", "PretrainingSide"),
    ("transformers", "finetune"): ("huggingface", "FinetuningSide"),
    ("transformers", "encode"): ("huggingface", "EncodingSide"),
    ("transformers", "predict"): ("huggingface", "PredictionSide"),
    ("transformers", "classify"): ("huggingface", "ClassificationSide"),
    ("transformers", "tokenize"): ("huggingface_text", "Tokenizing"),
    ("torch", "pretrain"): ("plain_torch", "PretrainingSide"),
    ("torch", "encode"): ("plain_torch", "EncodingSide"),
    ("torch", "ops"): ("torch_ops", "Ops"),
    ("onnxruntime", "encode"): ("onnx_runtime", "EncodingSide"),
    ("onnxruntime", "predict"): ("onnx_runtime", "PredictionSide"),
    ("onnxruntime", "classify"): ("onnx_runtime", "ClassificationSide"),
}
"""(side, `Job.work`) -> module here and class in it. A `reference` that is missing is ours, without kernels."""


def make_side(job: Job) -> Side:
    """The contestant for a job. Raises `BackendUnavailable` naming what to install where its library is missing."""
    module, name = HOMES.get((job.side, job.work)) or HOMES["ours", job.work]
    make: Callable[[Job], Side] = getattr(import_module(f".{module}", __name__), name)
    return make(job)
