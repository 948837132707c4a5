"""Right implementations that differ from the reference in a way of their own, each drawn from a seed.

They are what no false alarm may be made of: `loop.py` verifies them by the hundred, tests a few of them.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from bertref.verify.cases.case import generate
from bertref.verify.records import Answers, Case
from bertref.verify.subject import Subject
from bertref.verify.subjects import parse
from bertref.verify.subjects.python import PythonSubject

from .composed_bert import NORMS, SCALES, ComposedBert
from .float32_adam import HABITS, updates

SINGLES = (
    "numpy:dtype=float32,kernels=off", "torch:dtype=float32,kernels=off",
    "transformers:attention=eager,dtype=float32", "transformers:attention=sdpa,dtype=float32",
)  # fmt: skip
HALVES = ("bfloat16", "float16")
STEPS = (1, 2, 7, 100, 1000, 10_000)
Asked = tuple[Subject, Case]


class TwoRuns:
    """Values of one implementation, gradients of another, as a function that is compiled and one that isn't."""

    precision: str | None = "float32"
    live = True

    def __init__(self, values: str, gradients: str) -> None:
        self.name = f"values of {values}, gradients of {gradients}"
        self._parts = (parse(values), ""), (parse(gradients), "grad:")

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        found: dict[str, Any] = {}
        for subject, prefix in self._parts:
            given = subject.answer(case, wanted).values
            found |= {name: value for name, value in given.items() if name.rpartition(":")[0] == prefix[:-1]}
        return Answers(found, apart=frozenset({"grad"}))


class SingleAdam:
    """torch's gradients in float32, and a step whose bias corrections are computed in float32."""

    precision: str | None = "float32"
    live = True

    def __init__(self, habit: str, **wrong: float) -> None:
        self.name = f"float32 corrections: {habit}"
        self._habit, self._wrong, self._torch = habit, wrong, parse("torch:dtype=float32,kernels=off")

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        values = dict(self._torch.answer(case).values)
        grads = {name: values[f"grad:{name}"] for name in case.params}
        return Answers(values | updates(case, grads, self._habit, **self._wrong))


def two_runs(case: Case, draw: np.random.Generator) -> Asked:
    """Two of four implementations in float32."""
    first, second = draw.choice(SINGLES, 2, replace=False).tolist()
    return TwoRuns(first, second), case


def float32_correction(case: Case, draw: np.random.Generator) -> Asked:
    """AdamW and LAMB at any step of a run."""
    kind, step = str(draw.choice(["adamw", "lamb"])), int(draw.choice(STEPS))
    case = generate(case.origin["seed"], **{**case.origin["options"], "optimizer": kind})
    assert case.optimizer is not None
    return SingleAdam(str(draw.choice(HABITS))), replace(case, optimizer=replace(case.optimizer, step=step))


def float16_constants(case: Case, draw: np.random.Generator) -> Asked:
    """Scores scaled by constants of the type."""
    made = ComposedBert(str(draw.choice(HALVES)), norm="fused", composed=False, scaled=str(draw.choice(SCALES[1:])))
    return PythonSubject(made), case


def composed_norms(case: Case, draw: np.random.Generator) -> Asked:
    """Norm, softmax and GELU of single operations."""
    made = ComposedBert(str(draw.choice(HALVES)), norm=str(draw.choice(NORMS[:2])))
    return PythonSubject(made), case


KINDS = {
    "two-runs": two_runs, "float32-correction": float32_correction, "float16-constants": float16_constants,
    "composed-norms": composed_norms,
}  # fmt: skip
