"""bertref's own backends as subjects."""

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.judgement.reference import answer_names
from bertref.verify.subjects.backend import INSIDE_KERNELS, BackendSubject

from ..right import random_case
from .compare import errors, worst
from .test_no_false_alarm import FAST

CASE = generate(31)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_float64_is_the_reference(backend: str) -> None:
    answers = BackendSubject(backend, dtype="float64", kernels=False).answer(CASE)
    assert set(answers.values) == set(answer_names(CASE))
    assert worst(CASE, answers.values) < 1e-9
    assert answers.notes == ()


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-3), ("bfloat16", 0.5), ("float16", 0.1)])
def test_other_types_are_near_it(dtype: str, limit: float) -> None:
    answers = BackendSubject("torch", dtype=dtype, kernels=False).answer(CASE)
    assert set(answers.values) == set(answer_names(CASE))
    assert 1e-9 < worst(CASE, answers.values) < limit
    assert all(np.isfinite(value).all() for value in answers.values.values())


@pytest.mark.parametrize("seed", FAST)
@pytest.mark.parametrize("dtype", ["mixed-bfloat16", "mixed-float16"])
def test_trainings_mixed_precision_is_what_verify_means_by_it(dtype: str, seed: int) -> None:
    """Judged as autocast is, whole and step by step."""
    report = check(BackendSubject("torch", dtype=dtype), random_case(seed), repeat=False)
    assert (report.verdict, report.precision) == ("right", dtype)


@pytest.mark.parametrize("wrong", ["bfloat16", "mixed-bfloat16"])
def test_another_precision_is_not_mixed_precision(wrong: str) -> None:
    """Plain bfloat16 rounds what mixed precision does not; bfloat16 is not float16."""
    as_what = "mixed-float16" if wrong.startswith("mixed") else "mixed-bfloat16"
    report = check(BackendSubject("torch", dtype=wrong), CASE, repeat=False, precision=as_what)
    assert report.verdict == "diverges"


def test_float16_answers_carry_no_loss_scale() -> None:
    answers = BackendSubject("torch", dtype="float16", kernels=False).answer(
        CASE, {"grad:loss.total", "grad:mlm.logits"}
    )
    assert answers.values["grad:loss.total"] == 1
    assert errors(CASE, answers.values)["grad:mlm.logits"] < 0.01


def test_only_what_is_wanted() -> None:
    subject = BackendSubject("numpy", kernels=False)
    assert set(subject.answer(CASE, {"pooled", "layer.1.probs"}).values) == {"pooled", "layer.1.probs"}
    one = "update:bert.pooler.dense.bias"
    assert set(subject.answer(CASE, [one]).values) == {one}
    assert subject.answer(CASE, []).values == {}


def test_without_an_optimiser_there_are_no_updates() -> None:
    case = generate(31, optimizer=None)
    values = BackendSubject("numpy", kernels=False).answer(case).values
    assert not any(name.startswith("update:") for name in values)
    assert "grad:bert.pooler.dense.bias" in values


def test_kernels_hide_what_lies_inside_them() -> None:
    subject = BackendSubject("numpy", kernels=True)
    answers = subject.answer(CASE)
    inside = {name for name in answer_names(CASE) if name.endswith(INSIDE_KERNELS)}
    if subject.has_kernels:
        assert not inside & set(answers.values)
        assert "kernels=off" in answers.notes[0]
    else:
        assert inside <= set(answers.values)


def test_google_dialect_and_other_optimisers() -> None:
    for options in ({"dialect": "google"}, {"optimizer": "lamb"}, {"edge": "masked-row"}):
        case = generate(32, **options)
        assert worst(case, BackendSubject("torch", dtype="float64", kernels=False).answer(case).values) < 1e-9
