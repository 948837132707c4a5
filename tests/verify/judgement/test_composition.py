"""Norms and activations of single operations are right in half precision; fused ones are judged as closely as ever."""

from functools import partial
from typing import Any

import pytest

from bertref.verify import checking
from bertref.verify.cases.case import generate
from bertref.verify.judgement import composition
from bertref.verify.judgement.composition import FORWARD, NORMS
from bertref.verify.records import Arrays, Report
from bertref.verify.subjects.python import PythonSubject
from tests.verify.composed_bert import ComposedBert
from tests.verify.report.reports import own

check = partial(checking.check, diagnosis=False)
"""For verdicts: why something is wrong is not looked for."""

HALVES = ("bfloat16", "float16")
COMPOSED = ("division", "reciprocal")


def report(
    precision: str = "bfloat16", seed: int = 1, only: str | None = "forward", size: str = "tiny", **options: Any
) -> Report:
    case = generate(seed, size=size, optimizer=None)
    return check(PythonSubject(ComposedBert(precision, **options)), case, only=only, repeat=False)


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("norm", COMPOSED)
def test_a_composed_norm_is_right(precision: str, norm: str) -> None:
    found = report(precision, norm=norm, only=None)
    assert found.verdict == "right", found.first
    assert NORMS in found.notes
    assert FORWARD in found.notes
    assert max(f.own or 0.0 for f in found.findings) < 6


def test_by_the_floor_of_fused_ones_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "COMPOSED_NORMS", 1e9)
    found = report(norm="division", seed=2, size="small")
    assert found.first in ("embeddings.norm", "layer.2.output")
    assert own(found, "layer.2.output") > 12
    assert "drift:gain" in next(f.note for f in found.findings if f.name == found.first)


def test_only_what_is_composed_is_judged_as_composed() -> None:
    """A fused norm beside a composed activation, and the other way round."""
    assert NORMS not in report(norm="fused").notes
    assert FORWARD in report(norm="fused").notes
    assert report(norm="division", composed=False).notes[-1] == NORMS


@pytest.mark.parametrize("precision", HALVES)
def test_a_fused_norm_keeps_its_floor_if_it_is_wrong(precision: str) -> None:
    """An epsilon of 1e-5 is a factor for each row, too, and one that follows the variance."""
    found = report(precision, norm="fused", composed=False, eps=1e-5)
    assert NORMS not in found.notes
    assert found.first == "embeddings.norm"
    assert own(found, "embeddings.norm") > 15


@pytest.mark.parametrize(("precision", "eps"), [("bfloat16", 1e-4), ("float16", 1e-5)])
@pytest.mark.parametrize("norm", COMPOSED)
def test_a_wrong_epsilon_in_a_composed_norm_is_found(precision: str, eps: float, norm: str) -> None:
    found = report(precision, norm=norm, eps=eps)
    assert found.first == "embeddings.norm"
    assert own(found, "embeddings.norm") > 25


def test_an_epsilon_of_1e_5_lies_within_what_a_composed_norm_in_bfloat16_rounds() -> None:
    """Where such a norm can't be told from a right one; a fused one can."""
    found = report(norm="division", eps=1e-5)
    assert found.verdict == "right"
    assert 3 < own(found, "embeddings.norm") < 9


def test_the_other_gelu_beside_composed_norms_is_found() -> None:
    assert report(norm="division", composed=False, tanh=True).first == "layer.0.ffn_act"
    assert report(norm="division", composed=False).verdict == "right"


@pytest.mark.parametrize(("eps", "wrong"), [(None, 0), (1e-3, 1)])
def test_steps_that_are_fed_are_judged_alike(eps: float | None, wrong: int) -> None:
    import torch

    class Fed:
        precision = "bfloat16"

        def forward(self, case: Any) -> Any:
            return {}

        def answer_step(self, case: Any, name: str, inputs: Arrays) -> Any:
            norms = {"embeddings.norm": "bert.embeddings"}
            norms |= {f"layer.{i}.attention_norm": f"bert.encoder.layer.{i}.attention.output" for i in range(2)}
            norms |= {f"layer.{i}.output": f"bert.encoder.layer.{i}.output" for i in range(2)}
            if name not in norms:
                return {}
            of = (case["params"][f"{norms[name]}.LayerNorm.{one}"] for one in ("weight", "bias"))
            x, weight, bias = (torch.from_numpy(a).bfloat16() for a in (*inputs.values(), *of))
            used = eps if eps and name == "embeddings.norm" else case["config"]["layer_norm_eps"]
            return {name: ComposedBert()._normed(x, weight, bias, used)}

    found = check(PythonSubject(Fed()), generate(1, optimizer=None), feed=True, repeat=False)
    assert sum(f.status == "added" for f in found.findings) == wrong
    assert found.first == ("embeddings.norm" if wrong else None)
