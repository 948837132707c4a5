"""The factor of attention's scores rounded to a half type is right; another factor is not, and norms get no room."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from bertref.verify import checking
from bertref.verify.cases.case import generate
from bertref.verify.emulation.formats import FORMATS
from bertref.verify.judgement import score_scale
from bertref.verify.judgement.score_scale import NOTE, gains
from bertref.verify.records import Arrays, Case, Report
from bertref.verify.subjects.python import PythonSubject
from tests.verify.composed_bert import SCALES, ComposedBert
from tests.verify.report.reports import own

check = partial(checking.check, diagnosis=False)
"""For verdicts: why something is wrong is not looked for."""

HALVES = ("bfloat16", "float16")


def the_case(head_size: int = 7) -> Case:
    return generate(3, H=3 * head_size, A=3, S=24, B=6, optimizer=None)


def report(precision: str, head_size: int = 7, only: str | None = "forward", **options: Any) -> Report:
    subject = ComposedBert(precision, norm="fused", composed=False, **options)
    return check(PythonSubject(subject), the_case(head_size), only=only, repeat=False)


SLOW = [("after", "bfloat16"), ("rounded", "float16")]
WAYS = [
    pytest.param(scaled, precision, marks=pytest.mark.slow if (scaled, precision) in SLOW else ())
    for scaled in SCALES
    for precision in HALVES
]


@pytest.mark.parametrize(("scaled", "precision"), WAYS)
def test_a_rounded_factor_is_right(scaled: str, precision: str) -> None:
    found = report(precision, scaled=scaled, only=None)
    assert found.verdict == "right", found.first
    if scaled == "both":
        assert NOTE in found.notes
        assert max(f.own or 0.0 for f in found.findings) < 6


def test_taken_for_exact_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_scale, "gains", lambda head_size, held: [])
    found = report("float16", scaled="both")
    assert found.first == "layer.0.scores"
    assert "drift:gain" in next(f.note for f in found.findings if f.name == found.first)


@pytest.mark.parametrize(("precision", "scaled"), [("float16", "after"), ("float16", "both"), ("bfloat16", "after")])
def test_a_factor_of_another_head_size_is_found(precision: str, scaled: str) -> None:
    """1/7.9 for 1/8, in proportion. Rounded twice to bfloat16 that is as near to 1/8 as 1/8 rounded is."""
    found = report(precision, scaled=scaled, scale=8 / 7.9 / math.sqrt(7))
    assert found.first == "layer.0.scores"
    assert own(found, "layer.0.scores") > 25


def test_where_the_factor_is_a_number_of_the_type_nothing_is_excused() -> None:
    """A thousandth, as near as rounded factors are elsewhere."""
    assert all(gains(16, FORMATS[precision]) == [] for precision in HALVES)
    assert report("float16", 16, scaled="both").verdict == "right"
    assert report("float16", 16, scale=1.001 / 4).first == "layer.0.scores"


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("head_size", [5, 7, 12, 64, 96])
def test_factors_are_off_by_half_a_unit_for_each_multiplication_at_most(precision: str, head_size: int) -> None:
    held = FORMATS[precision]
    found = np.asarray(gains(head_size, held))
    assert found.size
    assert np.abs(found - 1).max() < 3.01 * held.unit  # a root, a reciprocal and its root may be rounded one by one


def test_the_factor_of_an_exported_graph() -> None:
    """The reciprocal of 8 has a root that float16 does not hold: query and key are each multiplied by it."""
    assert gains(64, FORMATS["float16"]) == [float(np.float16(math.sqrt(1 / 8))) ** 2 * 8]


def test_a_norm_s_factor_is_not_excused() -> None:
    assert report("float16", scaled="both", eps=1e-5).first == "embeddings.norm"


def test_hidden_scores_are_judged_alike() -> None:
    """Of fused attention only the context is seen."""

    class Fused(ComposedBert):
        def forward(self, case: Any) -> Any:
            return {name: value for name, value in super().forward(case).items() if "scores" not in name}

    subject = PythonSubject(Fused("float16", norm="fused", composed=False, scaled="both"))
    assert check(subject, the_case(), repeat=False).verdict == "right"


def test_steps_that_are_fed_are_judged_alike() -> None:
    import torch

    def answer(factor: float) -> Report:
        class Fed:
            precision = "float16"

            def forward(self, case: Any) -> Any:
                return {}

            def answer_step(self, case: Any, name: str, inputs: Arrays) -> Any:
                if not name.endswith(".scores") or ":" in name:
                    return {}
                q, k = (torch.from_numpy(a).half().unflatten(-1, (3, -1)).transpose(1, 2) for a in inputs.values())
                made = ComposedBert("float16", scaled="both", scale=factor / math.sqrt(7))
                return {name: made._scores(q, k.transpose(-1, -2))}

        return check(PythonSubject(Fed()), the_case(), feed=True, repeat=False)

    assert answer(1.0).first is None
    assert answer(8 / 7.9).first == "layer.0.scores"
