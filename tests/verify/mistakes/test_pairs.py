"""Several mistakes at once: each is named, and nothing else; `python -m tests.verify.mistakes --pairs 60` tries many.
"""

import pytest

from . import MISTAKES
from .__main__ import PAIRS, TRIPLES, main
from .pairs import BY_NAME, groups, measure_group, patched, together


def group(*names: str) -> tuple:
    return tuple(BY_NAME[name] for name in names)


def test_what_goes_together() -> None:
    assert patched("gelu-sigmoid") & patched("mlm-activation-missing")
    assert patched("gelu-sigmoid") & patched("layer-norm-epsilon-1e-3") == set()
    assert all(patched(one.name) for one in MISTAKES if not one.case)
    assert together(group("gelu-sigmoid", "layer-norm-epsilon-1e-3"))
    assert not together(group("gelu-sigmoid", "gelu-tanh-for-erf")), "the same code"
    assert not together(group("layer-norm-epsilon-1e-3", "unbiased-variance")), "seen at the same tensor"
    assert not together(group("norm-first", "attention-residual-missing")), "what norm-first calls has no residual"
    assert not together(group("rate-halved", "decay-missing")), "two steps"


def test_a_drawing_is_the_same_again() -> None:
    first, again, other = (list(groups(4, 2, seed)) for seed in (5, 5, 6))
    assert first == again != other
    assert all(together(one) for one in first)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("embedding-norm-missing", "second-beta-0.99"), id="forward and in the optimiser"),
        pytest.param(("gelu-tanh-for-erf", "softmax-gradient-row-sum"), id="forward and on the way back"),
        pytest.param(
            ("scale-by-hidden-size", "sentence-loss-left-out", "second-beta-0.99"), id="three parts of the computation"
        ),
    ],
)
def test_each_is_named(names: tuple[str, ...]) -> None:
    outcome = measure_group(group(*names))
    assert [one.name for one in outcome.named] == list(names), outcome.diagnosis
    assert (outcome.wrong, outcome.place, outcome.diagnosis.left) == ((), True, ())
    assert "With that the computation is right to rounding" in outcome.diagnosis.causes[-1].sentence


def test_gradients_of_another_formula_belong_to_its_cause() -> None:
    """All layer norms' epsilon: their ways back are right with it, and are no mistakes of their own."""
    outcome = measure_group(group("layer-norm-epsilon-1e-5"))
    [cause] = outcome.diagnosis.causes
    assert {"embeddings.norm", "grad:embeddings.sum", "grad:bert.embeddings.LayerNorm.weight"} <= set(cause.tensors)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "size", "share"), [(60, 2, PAIRS), (20, 3, TRIPLES)])
def test_many_groups(count: int, size: int, share: float) -> None:
    outcomes = [measure_group(one) for one in groups(count, size, 1)]
    assert not {tuple(one.name for one in o.group): o.wrong for o in outcomes if o.wrong or not o.place}
    named = [o for o in outcomes if len(o.named) == size]
    assert len(named) >= share * count


def test_groups_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pairs", "1", "--seed", "1"]) == 0
    assert "1 groups: all named in 1 (100%), something wrong in 0" in capsys.readouterr().out
