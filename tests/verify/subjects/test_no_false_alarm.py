"""Correct implementations are right: 200 random cases each in the slow suite, a few in the fast one.

The limit was calibrated (`tests.verify.calibrate`) on seeds from 1,000,000 on and on heads of 4, 6, 8, 10 or 16; the
cases here have the seeds 20,000 to 20,199 and heads of 5, 7 or 12, so that none of their sizes was seen there.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.onnx_export import export
from bertref.topology import probe_names
from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.records import Case
from bertref.verify.subject import Subject
from bertref.verify.subjects import parse
from bertref.verify.subjects.onnx import OnnxSubject

FIRST_SEED, CASES = 20_000, 200
FAST = (20_029, 20_035)
"""Seeds of the fast suite, small cases: without and with a masked row."""

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
    probes: list[Any] = []
    if int(case.origin["seed"]) % 2:
        probes = [name for name in probe_names(case.config) if not name.startswith("loss.")]
    path = folder / "model.onnx"
    export(case.params, case.config, case.numerics, path, heads=("pretraining",), probes=probes, dtype=dtype)
    return OnnxSubject(path)


def assert_right(implementation: str, seed: int, folder: Path) -> None:
    case = random_case(seed)
    report = check(subject_of(implementation, case, folder), case, repeat=False)
    assert report.verdict == "right", f"seed {seed}: {next(f for f in report.findings if f.name == report.first)}"
    assert len(report.findings) > 3


@pytest.mark.parametrize("seed", FAST)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_correct_implementation_is_right(implementation: str, seed: int, tmp_path: Path) -> None:
    assert_right(implementation, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_no_false_alarm_in_200_cases(implementation: str, tmp_path: Path) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + CASES):
        assert_right(implementation, seed, tmp_path)
