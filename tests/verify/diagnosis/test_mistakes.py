"""Mistakes of people are named, and named right; the whole table is `python -m tests.verify.mistakes --causes`."""

import pytest

from bertref.verify.diagnosis.families import HYPOTHESES
from tests.verify.mistakes import MISTAKES
from tests.verify.mistakes.__main__ import main
from tests.verify.mistakes.measure import measure, measure_all, measure_blocks

from .test_hypotheses import NUMBERS as TRIED

BY_NAME = {one.name: one for one in MISTAKES}
SAMPLE = {
    "encoder-epsilon-1e-5":
        "layer norms at layer.N.attention_norm (all layers), layer.N.output (all layers) use epsilon 1e-05 (fitted 1.0",
    "scale-by-hidden-size": "attention's scores are multiplied by 1/sqrt(hidden size)",
    "mask-of-minus-10": "padding is kept out by -10",
    "packed-qkv-interleaved": "the matrix of query, key and value is packed as all of Q, all of K, all of V",
    "second-residual-from-layer-input":
        "the residual connection at layer.N.ffn_sum (all layers) starts at what the layer reads",
    "norm-inside-the-branch": "the norm stands inside the branch, norm(sublayer) + input, in all layers",
    "gelu-tanh-for-erf": "the activation at layer.N.ffn_act (all layers), mlm.act is GELU's tanh form",
    "positions-shifted-by-two": "positions are off by 2;",
    "sentence-head-reads-hidden-state": "nsp.logits: computed from output of the last layer",
    "mean-of-row-means": "loss.mlm: a mean of the rows' means;",
    "attention-residual-detached": "no gradient goes back from layer.N.attention_sum (all layers) to layer.N.output.",
    "weights-in-bfloat16":
        "all weights are rounded to bfloat16, as in a file of half the size; the computation is in float32.",
    "matrices-in-float16":
        "all weights are rounded to float16 (biases and norms excepted), as in a file of half the size;",
    "epsilon-inside-root": "epsilon is added under the root;",
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLE)
def test_a_mistake_is_named(name: str) -> None:
    outcome = measure(BY_NAME[name], diagnosis=True)
    found = outcome.report.diagnosis
    assert found is not None
    assert outcome.cause == "right", found
    assert found.causes[0].sentence.startswith(SAMPLE[name])
    assert not found.left
    assert not found.looks
    assert found.causes[0].after <= 3 <= found.causes[0].before / 10


@pytest.mark.parametrize("name", ["gelu-tanh-for-erf", "layer-norm-epsilon-1e-5"])
def test_a_mistake_is_named_in_half_precision(name: str) -> None:
    """Where the step itself is judged: the effect is a fraction of what bfloat16 rounds end to end."""
    outcome = measure(BY_NAME[name], "bfloat16", diagnosis=True)
    found = outcome.report.diagnosis
    assert found is not None
    assert (outcome.right, outcome.cause) == (True, "right"), found
    assert outcome.report.precision == "bfloat16"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param("head-gelu-exact-beside-tanh", "the activation at mlm.act is the exact GELU (erf);",
                     marks=pytest.mark.slow),
        ("gelu-root-of-2-with-five-digits", "GELU at layer.N.ffn_act (all layers), mlm.act divides by 1.41421"),
        ("loss-denominator-plus-1e-5", "1e-05 is added to the number of predictions"),
        ("epsilon-hat", "epsilon is added to the root of the second moment before that is corrected"),
        pytest.param("trust-ratio-on-everything", "every parameter has a trust ratio, biases and norms as well.",
                     marks=pytest.mark.slow),
    ],
    ids=lambda text: text.partition(" ")[0],
)  # fmt: skip
def test_what_other_programs_do_is_named(name: str, sentence: str) -> None:
    outcome = measure(BY_NAME[name], diagnosis=True)
    assert outcome.report.diagnosis is not None
    assert outcome.cause == "right", outcome.report.diagnosis
    assert outcome.report.diagnosis.causes[0].sentence.startswith(sentence)


NUMBERS = {
    "layer-norm-epsilon-1e-3": ("norm.epsilon", 1e-3),
    "words-times-root-of-width": ("embeddings.words_scaled", 24**0.5),
    "scale-by-number-of-heads": ("attention.scale", 3**-0.5), "mask-of-minus-10": ("attention.mask_value", -10.0),
    "labels-smoothed": ("loss.smoothing", 0.1), "rate-halved": ("optimizer.rate", 0.5),
    "second-beta-0.99": ("optimizer.beta2", 0.01), "dropout-left-on": ("dropout.on", 0.1),
}  # fmt: skip
"""Mistake -> the number of its cause. Those of causes that none of the mistakes has are in `test_hypotheses`."""


def test_every_number_is_tested() -> None:
    numbers = {one.id for one in HYPOTHESES if one.number and not one.integers}
    assert numbers == {id for id, _ in NUMBERS.values()} | set(TRIED) - {"dropout.on"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in NUMBERS])
def test_a_number_is_right_within_1_percent_and_inside_of_its_interval(name: str) -> None:
    id, value = NUMBERS[name]
    found = measure(BY_NAME[name], diagnosis=True).report.diagnosis
    assert found is not None
    cause = next(cause for cause in found.causes if cause.id == id)
    [number] = cause.parameters
    assert number.value == pytest.approx(value, rel=0.01)
    assert number.low <= number.value <= number.high
    rounding = 1e-6 * abs(value)
    assert number.low - rounding <= value <= number.high + rounding


def test_two_causes_of_one_mistake() -> None:
    """Query and key exchanged: each is computed with the other's weights."""
    found = measure(BY_NAME["query-and-key-swapped"], diagnosis=True).report.diagnosis
    assert found is not None
    assert [(cause.id, cause.choice) for cause in found.causes] == [
        ("dense.other_weights", "key of the same layer"), ("dense.other_weights", "query of the same layer"),
    ]  # fmt: skip


def test_what_nothing_explains_is_unknown() -> None:
    """A decoder with numbers of its own."""
    found = measure(BY_NAME["decoder-not-tied"], diagnosis=True).report.diagnosis
    assert found is not None
    assert (found.outcome, found.causes, found.left[0]) == ("unknown", (), "mlm.logits")
    assert found.looks == ()
    assert {"dense.transposed", "dense.no_bias", "dense.other_weights"} <= set(found.ruled_out)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param("unbiased-variance", "float32", id="a number that makes no difference"),
        pytest.param("gelu-tanh-for-erf", "bfloat16", id="a rounding that is finer than the subject's own"),
    ],
)
def test_without_the_right_cause_nothing_is_named(name: str, dtype: str) -> None:
    outcome = measure(BY_NAME[name], dtype, without_own=True)
    found = outcome.report.diagnosis
    assert found is not None
    assert (found.outcome, found.causes) == ("unknown", ())
    assert not set(found.ruled_out) & set(outcome.mistake.causes)
    assert outcome.right


@pytest.mark.parametrize("name", ["mask-absent", "gelu-sigmoid"])
def test_a_mistake_is_named_from_the_outputs_of_layers(name: str) -> None:
    """Of padding, to which the mask lets through, what was written is all that is known."""
    outcome = measure_blocks(BY_NAME[name])
    assert outcome.cause == "right", outcome.report.diagnosis
    assert outcome.report.diagnosis is not None
    assert not outcome.report.diagnosis.left


@pytest.mark.slow
def test_without_the_right_cause_no_mistake_is_given_a_name() -> None:
    outcomes = list(measure_all(MISTAKES, without_own=True))
    found = {o.mistake.name: o.report.diagnosis for o in outcomes}
    assert not {name: one for name, one in found.items() if one is None or one.causes or one.outcome == "failed"}
    assert all(o.right for o in outcomes)


@pytest.mark.slow
def test_no_mistake_is_given_a_wrong_name() -> None:
    outcomes = list(measure_all(MISTAKES, diagnosis=True))
    wrong = {o.mistake.name: o.report.diagnosis for o in outcomes if o.cause in ("WRONG", "failed", "none")}
    assert not wrong
    covered = [outcome for outcome in outcomes if outcome.covered]
    missed = [outcome.mistake.name for outcome in covered if outcome.cause != "right"]
    assert len(missed) <= 0.1 * len(covered), missed


def test_the_table_of_causes_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--causes", "--filter", "decoder-bias-twice"]) == 0
    printed = capsys.readouterr().out
    assert "right      dense.bias_twice" in printed
    assert "1 checks: 1 right" in printed
    assert main(["--without-own", "--filter", "decoder-bias-twice"]) == 0
    assert "1 unknown" in capsys.readouterr().out
