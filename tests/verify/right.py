"""Right implementations and the cases that they compute, each drawn from a seed, of which none may be called wrong.

`loop.py` verifies them by the hundred, `subjects/test_no_false_alarm.py` a few of them.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bertref.onnx_export import export
from bertref.topology import probe_names
from bertref.verify.cases.case import generate
from bertref.verify.meant import case_for
from bertref.verify.records import Answers, Case
from bertref.verify.subject import Subject
from bertref.verify.subjects import parse
from bertref.verify.subjects.onnx import OnnxSubject
from bertref.verify.subjects.python import PythonSubject

from .composed_bert import NORMS, SCALES, ComposedBert
from .float32_adam import HABITS, updates
from .right_files import FILES, QUESTIONS, subject_of_file
from .right_heads import OF_HEADS, subject_of_head

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
    """Two of four implementations in float32, half of the cases with large scores."""
    if int(case.origin["seed"]) % 2:
        case = generate(int(case.origin["seed"]), **{**case.origin["options"], "edge": "large-scores"})
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
    """Norm, softmax and GELU of single operations; in float16 by division, because the way back through a reciprocal
    root has its cube, which overflows for embeddings as small as these: no right code."""
    precision = str(draw.choice(HALVES))
    norm = str(draw.choice(NORMS[:2])) if precision == "bfloat16" else NORMS[0]
    return PythonSubject(ComposedBert(precision, norm=norm)), case


WAYS: dict[str, Callable[[Case, np.random.Generator], Asked]] = {
    "two-runs": two_runs, "float32-correction": float32_correction, "float16-constants": float16_constants,
    "composed-norms": composed_norms,
}  # fmt: skip
"""What differs from the reference in a way of its own."""

IMPLEMENTATIONS = (
    "numpy:dtype=float64",
    "numpy:dtype=float32",
    "torch:dtype=float64",
    "torch:dtype=float32",
    "torch:dtype=bfloat16",
    "torch:dtype=float16",
    "transformers:attention=eager,dtype=float64",
    "transformers:attention=eager,dtype=float32",
    "transformers:attention=eager,dtype=bfloat16",
    "transformers:attention=sdpa,dtype=float64",
    "transformers:attention=sdpa,dtype=float32",
    "transformers:attention=sdpa,dtype=bfloat16",
    "onnx:float64",
    "onnx:float32",
)


def random_case(seed: int) -> Case:
    """A case whose sizes, edge and activation are drawn from the seed; transformers can compute it, too."""
    draw = np.random.default_rng(seed)
    heads = int(draw.integers(1, 6))
    sizes = {
        "B": int(draw.integers(1, 9)), "S": int(draw.integers(5, 44)), "L": int(draw.integers(1, 4)), "A": heads,
        "H": heads * int(draw.choice([5, 7, 12])), "I": int(draw.integers(21, 180)),
        "V": int(draw.integers(40, 350)), "P": int(draw.integers(1, 7)),
    }  # fmt: skip
    edge = str(draw.choice(["", "", "", "large-scores", "masked-row"])) if sizes["B"] > 2 else ""
    return generate(seed, edge=edge, hidden_act=str(draw.choice(["gelu", "gelu", "relu"])), **sizes)


def subject_of(implementation: str, case: Case, folder: Path) -> Subject:
    """The implementation; for ONNX Runtime the case's model is exported first, in half of the cases with probes."""
    kind, _, dtype = implementation.partition(":")
    if kind != "onnx":
        return parse(implementation)
    probes: list[str] = []
    if int(case.origin["seed"]) % 2:
        probes = list(probe_names(case.config, case.heads, None))
    path = folder / "model.onnx"
    export(case.params, case.config, case.numerics, path, heads=case.heads, probes=probes, dtype=dtype)
    return OnnxSubject(path)


OF_VARIANTS = {
    f"{variant} {implementation}": (variant, implementation)
    for variant in ("roberta", "distilbert", "albert")
    for implementation in (
        "transformers:attention=eager,dtype=float32", "transformers:attention=eager,dtype=bfloat16",
        "transformers:attention=sdpa,dtype=float32", "transformers:attention=sdpa,dtype=bfloat16", "onnx:float32",
    )
}  # fmt: skip
"""Implementations of other networks than BERT."""
TASKS = ("sequence_classification", "token_classification", "question_answering", "multiple_choice")


def case_of_variant(seed: int, variant: str) -> Case:
    """As `random_case`, of another network: half of them with the head of pre-training, the others with a task's."""
    draw, base = np.random.default_rng([seed, 2]), random_case(seed)
    head = None if seed % 2 else str(draw.choice(TASKS))
    options = {name: value for name, value in base.origin["options"].items() if name not in ("edge", "hidden_act")}
    if head is not None:
        options["head"] = head
    edges = ["", "large-scores", *(["padded-left"] * (variant != "albert" and head in (None, "token_classification")))]
    if head == "multiple_choice":
        options["B"] = 3 * max(options["B"] // 3, 1)
    if variant != "roberta":  # whose head of masked words has gelu whatever the config says
        options["hidden_act"] = str(draw.choice(["gelu", "gelu", "relu"]))
    if variant == "albert":
        options["G"] = int(draw.integers(1, options["L"], endpoint=True))
    return generate(seed, variant=variant, edge=str(draw.choice(edges)), **options)


def asked(kind: str, seed: int, folder: Path) -> Asked:
    """A subject of that kind (one of `KINDS`) and the seed's case for it; files go to `folder`."""
    if kind in OF_VARIANTS:
        variant, implementation = OF_VARIANTS[kind]
        case = case_of_variant(seed, variant)
        return subject_of(implementation, case, folder), case
    if kind in FILES:
        subject = subject_of_file(kind, random_case(seed - seed % QUESTIONS), folder)
        return subject, case_for(subject, seed)
    case = random_case(seed)
    if kind in OF_HEADS:
        return subject_of_head(kind, seed, case, folder)
    if kind in WAYS:
        return WAYS[kind](case, np.random.default_rng([seed, 1]))
    return subject_of(kind, case, folder), case


KINDS = (*WAYS, *IMPLEMENTATIONS, *FILES, *OF_HEADS, *OF_VARIANTS)
"""Of right implementations."""
