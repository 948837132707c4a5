"""Every mistake is found, and at the tensor that was written down for it beforehand."""

import pytest

from . import MISTAKES
from .__main__ import SHARE, main
from .measure import measure, measure_all

SAMPLE = (
    ("layer-norm-epsilon-1e-5", "bfloat16"),
    ("token-types-all-zero", "float32"),
    ("mask-of-minus-10", "float32"),
    ("packed-qkv-interleaved", "float32"),
    ("last-norm-skipped", "float32"),
    ("gelu-tanh-for-erf", "bfloat16"),
    ("decoder-bias-twice", "float32"),
    ("mean-of-row-means", "float32"),
    ("gelu-slope-of-tanh-form", "float32"),
    ("attention-residual-detached", "float32"),
    ("tied-table-without-decoder-path", "float32"),
    ("decay-on-norm-weights", "float32"),
    ("epsilon-inside-root", "float32"),
    ("classifier-detached", "float32"),
    ("targets-broadcast", "float32"),
    ("answer-outside-clamped", "float32"),
    ("choices-across-questions", "float32"),
)
BY_NAME = {one.name: one for one in MISTAKES}


@pytest.mark.parametrize(("name", "dtype"), SAMPLE, ids=[f"{name}-{dtype}" for name, dtype in SAMPLE])
def test_a_mistake_is_found_where_it_is(name: str, dtype: str) -> None:
    outcome = measure(BY_NAME[name], dtype)
    assert outcome.detected
    assert outcome.report.first == outcome.expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7001, 7002])
def test_every_mistake_is_found(seed: int) -> None:
    outcomes = list(measure_all(MISTAKES, seed=seed))
    missed = [outcome.mistake.name for outcome in outcomes if not outcome.detected]
    assert not missed
    elsewhere = {o.mistake.name: (o.report.first, o.expected) for o in outcomes if not o.right}
    assert len(elsewhere) <= (1 - SHARE) * len(outcomes), elsewhere
    half = [outcome for outcome in outcomes if outcome.dtype == "bfloat16"]
    assert {outcome.mistake.name for outcome in half} == {"layer-norm-epsilon-1e-5", "gelu-tanh-for-erf"}
    assert all(outcome.right for outcome in half), "told apart from rounding by the added error"


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--filter", "pooler-tanh-missing"]) == 0
    printed = capsys.readouterr().out
    assert "pooler-tanh-missing" in printed
    assert "1 checks: 1 found, 1 at the right tensor (100.0%)" in printed
    assert main(["--filter", "no such mistake"]) == 2
