"""What a right verdict could not have seen is what a subject that has it is called right with, and nothing else."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.diagnosis.blind_spots import Applied, applied, blind_spots
from bertref.verify.diagnosis.families import HYPOTHESES
from bertref.verify.diagnosis.hypothesis import Hypothesis
from bertref.verify.diagnosis.scene import Scene
from bertref.verify.records import Arrays, BlindSpot, BlindSpots, Case, Report

from .applied import ALL, FORWARD, right, scene_of, wrong

BLOCKS = ("embeddings.norm", "layer.*.output", "pooled")
"""What a program may write that knows nothing of probes."""
NEAR = 2.0
"""A mistake that comes so near to the limit, as a factor, may fall on either side of it with the subject's rounding."""
SEED = 31
CASE = generate(SEED)


def given(values: Arrays, patterns: Iterable[str]) -> Arrays:
    return {name: value for name, value in values.items() if any(fnmatchcase(name, one) for one in patterns)}


@cache
def judged(
    case: Case, patterns: tuple[str, ...] = ("*",), *, kinds: tuple[str, ...] = FORWARD, precision: str = "float32"
) -> tuple[Report, Scene]:
    """A right subject that gave these answers."""
    report, scene = scene_of(case, given(right(case, kinds, precision), patterns), precision)
    assert report.verdict == "right"
    return report, scene


def of(*families: str) -> list[Hypothesis]:
    return [one for one in HYPOTHESES if one.id.startswith(families)]


def one(found: BlindSpots, id: str) -> BlindSpot:
    [spot] = [spot for spot in found.spots if spot.id == id]
    return spot


def verdict(case: Case, mistake: Applied, patterns: Collection[str], precision: str = "float32") -> str:
    """Of a subject that has it."""
    values = wrong(case, mistake.hypothesis, mistake.choice.value, mistake.names, precision)
    return scene_of(case, given(values, patterns), precision)[0].verdict


# -- which -------------------------------------------------------------------------------------------------------------


def test_bfloat16_with_outputs_of_layers_hides_the_form_of_gelu() -> None:
    """And what is asked for shows it."""
    how = judged(CASE, BLOCKS, precision="bfloat16")
    spot = one(blind_spots(*how, of("activation")), "activation.tanh_gelu")
    assert spot.sentence.startswith("the activation at layer.N.ffn_act (all layers) is GELU's tanh form")
    assert (spot.hidden_by, spot.ratio < 1) == ("probes", True)
    assert spot.ask == ("layer.0.ffn_pre", "layer.0.ffn_act", "layer.1.ffn_pre", "layer.1.ffn_act")
    mistake = next(iter(applied(*how, of("activation.tanh_gelu"))))
    assert mistake.names == spot.tensors
    assert verdict(CASE, mistake, BLOCKS, "bfloat16") == "right"
    assert verdict(CASE, mistake, (*BLOCKS, *spot.ask), "bfloat16") == "diverges"


def test_float32_with_all_probes_hides_only_what_rounding_does() -> None:
    found = blind_spots(*judged(CASE), of("norm", "attention", "activation", "heads", "residual", "pooler"))
    assert {spot.hidden_by for spot in found.spots} == {"precision"}
    assert {spot.id for spot in found.spots} == {"norm.epsilon", "norm.epsilon_outside", "attention.mask_value"}


def test_a_case_without_padding_hides_a_missing_mask() -> None:
    missing = of("attention.mask_missing")
    [spot] = blind_spots(*judged(generate(SEED, edge="full-rows")), missing).spots
    assert (spot.hidden_by, spot.reasons, spot.ask, spot.ratio) == ("case", ("no padding",), (), 0.0)
    assert blind_spots(*judged(CASE), missing).spots == ()


def test_a_step_in_the_middle_of_a_run_shows_all_its_parts() -> None:
    found = blind_spots(*judged(CASE, kinds=ALL), of("optimizer"))
    assert found.spots == ()
    assert list(found.step) == ["clipping", "moments", "epsilon", "correction", "decay", "rate", "tied table"]
    assert set(found.step.values()) == {True}


def test_a_first_step_hides_the_betas() -> None:
    """Moments of 0, corrected: the step is the gradient over its own size, as RMSprop's, no moment is forgotten, and
    the second one gets larger."""
    case = generate(SEED, step=1)
    assert case.optimizer is not None
    assert not any(np.any(moment) for moment in case.optimizer.moments.values())
    found = blind_spots(*judged(case, kinds=ALL), of("optimizer"))
    hidden = {spot.id: spot for spot in found.spots}
    betas = {"optimizer.beta1", "optimizer.beta2", "optimizer.betas_swapped"}
    assert hidden.keys() == betas | {"optimizer.moments_forgotten", "optimizer.direction", "optimizer.moments"}
    assert {spot.reasons for spot in hidden.values()} == {("a first step's moments, 0",)}
    assert [part for part, shows in found.step.items() if not shows] == ["moments"]


@pytest.mark.slow
def test_without_decay_nothing_tells_of_it() -> None:
    assert CASE.optimizer is not None
    settings = replace(CASE.optimizer.optimizer, weight_decay=0.0)
    case = replace(CASE, optimizer=replace(CASE.optimizer, optimizer=settings))
    found = blind_spots(*judged(case, kinds=ALL), of("optimizer.decay", "optimizer.rate"))
    assert found.step == {"decay": False, "rate": True}
    assert one(found, "optimizer.decay_missing").hidden_by == "case"


def test_of_what_was_not_judged_nothing_is_said() -> None:
    """A verdict on the pooled output is none on the losses, which the report says already."""
    found = list(applied(*judged(CASE, BLOCKS), of("loss", "mlm", "backward", "optimizer", "pooler")))
    assert {one.hypothesis.id.partition(".")[0] for one in found} == {"pooler"}


def test_steps_that_were_fed_hide_nothing_that_they_show() -> None:
    report, scene = judged(CASE, BLOCKS)
    assert {spot.hidden_by for spot in blind_spots(report, scene, of("dense.no_bias")).spots} == {"probes"}
    fed = replace(report, fed=tuple(scene.replay.graph.rows))
    assert blind_spots(fed, scene, of("dense.no_bias")).spots == ()


def test_what_is_hidden_in_the_same_way_is_said_at_once() -> None:
    found = blind_spots(*judged(CASE, BLOCKS), of("norm.epsilon"))
    both = [spot for spot in found.spots if spot.id == "norm.epsilon" and spot.hidden_by == "precision"]
    assert [spot.sentence for spot in both] == [
        "layer norms at layer.N.attention_norm (all layers), layer.N.output (all layers) use epsilon 1e-08, 1e-07 or "
        "1e-06; the reference's is 1e-12"
    ]


# -- whether that is true ----------------------------------------------------------------------------------------------


FROM_ANSWERS = ("dropout.on", "embeddings.types_added", "embeddings.table_of_zeros")
"""What follows from what was recorded: no subject is made of it here."""


def clear(found: Iterable[Applied]) -> list[Applied]:
    far = [one for one in found if not 9 / NEAR < one.ratio < 9 * NEAR]
    return [one for one in far if one.hypothesis.id not in FROM_ANSWERS]


def confirmed(case: Case, mistakes: Iterable[Applied], patterns: Collection[str], precision: str = "float32") -> int:
    """How many of these are judged as was said, of subjects that have them."""
    count = 0
    for mistake in mistakes:
        said = "right" if mistake.hidden_by else "diverges"
        what = (mistake.hypothesis.id, mistake.choice.words, mistake.names, mistake.ratio)
        assert verdict(case, mistake, patterns, precision) == said, what
        count += 1
    return count


def test_what_is_listed_is_called_right_and_what_is_not_is_wrong() -> None:
    found = clear(applied(*judged(CASE, BLOCKS), of("norm", "dense.no", "attention", "heads", "activation")))
    hidden, shown = ([one for one in found if bool(one.hidden_by) is wanted] for wanted in (True, False))
    assert confirmed(CASE, hidden[::4], BLOCKS) >= 3
    assert confirmed(CASE, shown[::12], BLOCKS) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("patterns", [BLOCKS, ("*",)], ids=["blocks", "all"])
def test_every_form_of_every_hypothesis_forward(precision: str, patterns: tuple[str, ...]) -> None:
    found = clear(applied(*judged(CASE, patterns, precision=precision)))
    assert confirmed(CASE, found, patterns, precision) > 100


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 7])
def test_every_form_of_every_hypothesis_backward_and_in_the_step(step: int) -> None:
    case = generate(SEED, step=step)
    found = clear(applied(*judged(case, kinds=ALL), of("backward", "optimizer")))
    assert confirmed(case, found, ("*",)) > 50
