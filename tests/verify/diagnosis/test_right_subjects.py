"""Nothing is named where nothing is wrong: a diagnosis that is forced to look at the largest ratio finds no cause."""

from pathlib import Path

import pytest

from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.families import HYPOTHESES
from tests.verify.loop import CASES, FIRST_SEED, verified
from tests.verify.right import IMPLEMENTATIONS, WAYS

from .applied import asked as one_case
from .applied import scene_of, wrong

ROUNDED_FACTOR = 5007
"""Seed of a case whose scores are just below the limit, for their factor is 1/sqrt(7) in float16, and no mistake."""

FLOAT32_BETAS = 20_034
"""Corrections in float32 are nearer to what was recorded if they are chosen once more, for another step."""
LOSS, LABELS = 20_054, 20_078
"""A loss in bfloat16, one number, that happens to be nearer to what it were if padding counted, or of other labels."""
ONE_HEAD = 20_063
"""A single head, whose channels are the same ones wherever heads begin."""
NO_GRADIENT = 20_046
"""The gradient of the keys' bias, 0 but for rounding, is nearer to 0 than the reference's."""


@pytest.mark.parametrize(
    ("kind", "seed"),
    [("numpy:dtype=float32", 91), ("torch:dtype=float32", 92), ("torch:dtype=bfloat16", 93),
     ("float16-constants", ROUNDED_FACTOR), ("float32-correction", FLOAT32_BETAS),
     ("torch:dtype=float64", NO_GRADIENT), ("transformers:attention=eager,dtype=bfloat16", LOSS),
     ("transformers:attention=sdpa,dtype=bfloat16", LABELS), ("onnx:float64", ONE_HEAD)],
)
def test_no_cause_in_right_subjects(kind: str, seed: int, tmp_path: Path) -> None:
    line = verified(kind, seed, tmp_path, forced=True)
    assert (line["verdict"], line["causes"], line["looks"]) == ("right", [], 0)
    assert line["tried"] > 1


def test_a_diagnosis_that_is_forced_could_name_a_cause() -> None:
    """An epsilon so near to the right one that nothing is called wrong is found where it has to be looked for: errors
    of less than the limit, of which less than a tenth is left."""
    epsilon = next(one for one in HYPOTHESES if one.id == "norm.epsilon")
    report, scene = scene_of(one_case(), wrong(one_case(), epsilon, 1.6e-9))
    assert report.verdict == "right"
    found = diagnose(report, scene, force=True)
    assert [cause.id for cause in found.causes] == ["norm.epsilon"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*IMPLEMENTATIONS, *WAYS])
def test_no_cause_in_many_right_subjects(kind: str, tmp_path: Path) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + CASES):
        line = verified(kind, seed, tmp_path, forced=True)
        assert (line["verdict"], line["causes"], line["looks"]) == ("right", [], 0), line
