"""Every hypothesis, applied to the reference, is found again, and no other is named for it."""

import tracemalloc
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest

from bertref.verify.cases.another import another
from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.families import HYPOTHESES
from bertref.verify.diagnosis.families.attention import softmax
from bertref.verify.diagnosis.families.backward_slopes import TANH_FORM
from bertref.verify.diagnosis.hypothesis import Hypothesis
from bertref.verify.diagnosis.scene import STEP
from bertref.verify.diagnosis.trials import rewritten
from bertref.verify.records import Arrays, Case

from .applied import asked, diagnosed, right, scene_of, wrong

NUMBERS = {
    "norm.epsilon": 3e-6, "norm.epsilon_outside": 1e-6, "norm.std_plus_epsilon": 1e-6, "attention.scale": 0.29,
    "attention.mask_value": -7.0, "embeddings.words_scaled": 2.5, "loss.smoothing": 0.13, "optimizer.rate": 0.7,
    "optimizer.beta1": 0.2, "optimizer.beta2": 0.007, "optimizer.epsilon": 3e-6, "dropout.on": 0.1,
    "activation.rounded_constant": 1.413, "activation.tanh_cubic": 0.05, "activation.tanh_factor": 0.7,
    "activation.sigmoid_factor": 1.6, "attention.temperature": 0.6, "residual.scaled": 0.7,
    "dropout.off_by_factor": 0.85, "residual.sum_scaled": 0.7, "heads.logits_scaled": 0.6, "heads.logits_capped": 7.0,
    "attention.scores_capped": 3.0, "attention.softmax_epsilon": 0.02,
    "loss.first_weighted": 0.7, "loss.second_weighted": 0.7, "loss.positives_weighted": 2.5,
    "loss.log_epsilon": 1e-3, "loss.class_weighted": 2.5, "optimizer.clipping_limit": 0.3, "optimizer.decay": 0.07,
}  # fmt: skip
"""A value for every free number."""
HEADS = {
    "loss.ignored_counted": "token_classification", "loss.choices_across": "multiple_choice",
    "loss.absolute_error": "regression", "loss.other_error": "regression",
    "loss.one_end": "question_answering", "loss.broadcast": "regression", "loss.sigmoid_twice": "multi_label",
    "loss.softmax_for_sigmoid": "multi_label", "loss.ends_swapped": "question_answering",
    "loss.classes_across": "token_classification",
    "loss.clamped": "question_answering", "loss.span": "question_answering", "loss.of_sigmoid": "regression",
    "loss.one_sided": "multi_label", "loss.positives_weighted": "multi_label",
}  # fmt: skip
"""The case's head, where it is not that of pre-training."""
ALBERT = {"variant": "albert", "L": 3}
CASES: dict[str, dict[str, Any]] = {
    **{id: {"head": head} for id, head in HEADS.items()}, "optimizer.norm_in_float32": {"A": 4, "H": 192, "I": 512},
    "optimizer.trust_ratio_exclusions": {"optimizer": "lamb"},
    "embeddings.positions_over_padding": {"variant": "roberta", "edge": "padded-left"},
    "sharing.other_layer": {"variant": "albert", "L": 4, "G": 2}, "sharing.gradient": ALBERT,
    "sharing.averaged": ALBERT, "sharing.stepped_in_each_layer": ALBERT,
}  # fmt: skip
"""Options of the case, where it is not BERT's with the heads of pre-training and AdamW."""
ROWS = {
    "backward.detached": ("back layer.0.attention_sum",), "backward.frozen": ("back layer.0.key",),
    "backward.counted_twice": ("back layer.0.attention_sum",),
}  # fmt: skip
"""Of what has choices of a row's own, the rows in which it is tried; else it is in all."""
TOO_SMALL = {
    *(("loss.denominator_epsilon", number) for number in ("1e-12", "1e-08", "1e-06")),
    ("backward.frozen", "bert.encoder.layer.0.attention.self.key.bias"),
    ("optimizer.norm_in_float32", "for each gradient"),
}  # fmt: skip
"""Choices that change less than float32 rounds: the gradient of the keys' bias is 0 but for rounding; a small model's
gradients have no long sums."""
FROM_ANSWERS = (
    "dropout.on", "embeddings.types_added", "attention.scores_transposed", "attention.temperature",
    "attention.mask_multiplied", "backward.accumulated", "heads.reads", "norm.reads", "dense.input_activated",
)  # fmt: skip
"""What no formula makes of a tensor's inputs, or what is tried only where these were recorded: tried with the mistakes
of the tables, or below, alone. Those about stored integers are tried with files
(`subjects/onnx/test_int8_causes.py`)."""
SAMPLE = ("norm.std_plus_epsilon", "attention.causal", "heads.minor", "loss.denominator_rows", "sharing.averaged")
"""Those that are tried always: most of them none of the known mistakes."""
SAME = ("dense.other_weights", "dense.packed_order", "loss.group_means", "dense.reads", "residual.from",
        "embeddings.positions_sinusoidal", "norm.other_weights",
        "dense.other_layer", "pooler.token", "pooler.gradient", "mlm.positions_offset", "mlm.gradient_places",
        "residual.also", "embeddings.positions_through_batch", "norm.axes", "attention.softmax_sum", "loss.denominator")
"""Those of which two choices may be the same in a case: which of these is named is open."""


def by_id(id: str) -> Hypothesis:
    return next(one for one in HYPOTHESES if one.id == id)


def test_every_hypothesis_is_complete() -> None:
    assert len({one.id for one in HYPOTHESES}) == len(HYPOTHESES)
    for one in HYPOTHESES:
        assert one.where.keys() == ({"onnxruntime", "an exporter"} if one.integers else {"torch", "JAX", "NumPy", "C"})
        assert one.patch.format(epsilon=1e-12), one.id
    assert {one.id for one in HYPOTHESES if one.number and not one.integers} == NUMBERS.keys()


def found_again(
    hypothesis: Hypothesis, words: str, value: Any, rows: Collection[str] = (), case: dict[str, Any] | None = None
) -> None:
    case = CASES.get(hypothesis.id, {}) if case is None else case
    found = diagnosed(hypothesis, value, rows=rows, case=case)
    assert found.outcome == "named", (hypothesis.id, words, found)
    assert (found.causes[0].id, found.left) == (hypothesis.id, ())
    if hypothesis.number is None:
        assert found.causes[0].choice == words or hypothesis.id in SAME
    else:
        [number] = found.causes[0].parameters
        assert number.value == pytest.approx(value, rel=0.01)
        assert number.low <= value <= number.high


@pytest.mark.parametrize("id", SAMPLE)
def test_a_hypothesis_is_found_again(id: str) -> None:
    found_again(by_id(id), "", NUMBERS.get(id))


@pytest.mark.slow
@pytest.mark.parametrize(
    "hypothesis", [one for one in HYPOTHESES if one.id not in FROM_ANSWERS and not one.integers], ids=lambda one: one.id
)
def test_every_hypothesis_is_found_again(hypothesis: Hypothesis) -> None:
    if hypothesis.number is not None:
        found_again(hypothesis, "", NUMBERS[hypothesis.id])
        return
    case = asked(**CASES.get(hypothesis.id, {}))
    _, scene = scene_of(case, right(case))
    names = ROWS.get(hypothesis.id) or [name for name, row in scene.rows.items() if hypothesis.applies(row)]
    tried = 0
    for choice in hypothesis.choices(scene, scene.rows[names[0]]):
        if (hypothesis.id, choice.words) not in TOO_SMALL and rewritten(scene, hypothesis, names, choice.value):
            found_again(hypothesis, choice.words, choice.value, ROWS.get(hypothesis.id, ()))
            tried += 1
    assert tried


@pytest.mark.slow
@pytest.mark.parametrize("words", [*TANH_FORM, "the exact GELU"])
def test_a_derivative_of_gelus_tanh_form_is_found_again(words: str) -> None:
    found_again(by_id("backward.activation_slope"), words, words, case={"dialect": "google"})


def test_a_way_back_that_is_left_out_in_one_kind_of_rows_is_found_again() -> None:
    """Rows of other kinds give to the same gradients, and contradict it."""
    case = asked()
    _, scene = scene_of(case, right(case))
    rows = [name for name in scene.rows if name.startswith("back layer.") and name.endswith(".value")]
    found_again(by_id("backward.left_out"), "", None, rows)


def test_a_mean_over_other_rows_gives_unused_slots_a_gradient() -> None:
    words = "both means are taken over all rows; a mean is over the elements of a row"
    found_again(by_id("backward.norm_statistics"), words, ("over all rows", 2), ("back mlm.transform",))


def test_a_parameter_that_nothing_reads_any_more_keeps_its_part() -> None:
    """Both norms of a layer have one norm's weights: the other's gradients belong to that layer all the same."""
    case, name = asked(), "grad:bert.encoder.layer.0.attention.output.LayerNorm.weight"
    _, scene = scene_of(case, right(case))
    row = scene.rows["layer.0.attention_norm"]
    changed = scene.changed(rewritten(scene, by_id("norm.other_weights"), [row.name], (True, "output")))
    assert changed.users(name.removeprefix("grad:")) == 0
    assert changed.part(name) == scene.part(name)


def test_a_rate_that_is_off_by_rounding_is_no_cause() -> None:
    """So much makes a bias correction that is computed in some other way."""
    case = asked()
    _, scene = scene_of(case, right(case))
    rate = by_id("optimizer.rate")
    assert not rewritten(scene, rate, [STEP.name], 1.00003)
    assert rewritten(scene, rate, [STEP.name], 1.0002)


def other_softmax(case: Case, of: Callable[[Any, Any], Any]) -> Arrays:
    """The first layer's scores, at padding, too, and the probabilities that a softmax of something else gives."""
    keys = case.batch.attention_mask.astype(bool)[:, None, None, :]
    values = right(case)
    scores = {"layer.0.scores": np.where(keys, values["layer.0.scores"], np.float32(0.3))}
    made = {name.replace("scores", "probs"): softmax(of(np.float64(x), keys)) for name, x in scores.items()}
    return scores | {name: np.float32(value) for name, value in made.items()}


@pytest.mark.parametrize(
    ("id", "of"),
    [
        ("attention.temperature", lambda x, keys: np.where(keys, 0.6 * x, -1e30)),
        ("attention.mask_multiplied", lambda x, keys: x * keys),
        ("attention.mask_missing", lambda x, keys: x),
    ],
)
def test_a_cause_in_recorded_scores_is_named(id: str, of: Any) -> None:
    first, second = asked(), another(asked(), step=True)
    report, scene = scene_of(first, other_softmax(first, of))
    found = diagnose(report, scene, lambda kind, i: scene_of(second, other_softmax(second, of))[1])
    assert [cause.id for cause in found.causes] == [id]


def test_a_head_that_reads_what_its_input_is_made_of_is_named() -> None:
    def answers(case: Case) -> Arrays:
        values = {name: value for name, value in right(case).items() if not name.startswith("loss.")}
        weight, bias = (case.params[f"cls.seq_relationship.{name}"] for name in ("weight", "bias"))
        return values | {"nsp.logits": np.float32(np.float64(values["pooled_pre"]) @ weight.T + bias)}

    first, second = asked(), another(asked(), step=True)
    report, scene = scene_of(first, answers(first))
    found = diagnose(report, scene, lambda kind, i: scene_of(second, answers(second))[1])
    assert [(cause.id, cause.choice) for cause in found.causes] == [("heads.reads", "pooled_pre")]
    assert found.left == ()


@pytest.mark.parametrize("alone", [False, True])
def test_the_way_back_of_a_formula_may_be_its_own_or_the_right_one(alone: bool) -> None:
    """Losses in another base: their gradients follow, or were written out by hand for the right loss."""
    hypothesis = by_id("loss.logarithm")

    def answers(case: Case) -> Arrays:
        values = wrong(case, hypothesis, 2, way_back=True)
        grads = right(case, ("", "grad")) if alone else values
        return values | {name: value for name, value in grads.items() if name.startswith("grad:")}

    first, second = asked(), another(asked(), step=True)
    report, scene = scene_of(first, answers(first))
    found = diagnose(report, scene, lambda kind, i: scene_of(second, answers(second))[1])
    assert ([cause.id for cause in found.causes], found.left) == (["loss.logarithm"], ())
    assert ("The gradients are those of the right formula" in found.causes[0].sentence) is alone


def one_row(case: Case, id: str, name: str, value: Any) -> Arrays:
    """The answers of a right subject up to this row, which a hypothesis makes of what was recorded."""
    values = right(case)
    _, scene = scene_of(case, values)
    made = np.float32(scene.changed(rewritten(scene, by_id(id), [name], value)).replay(name))
    order = list(scene.rows)
    return {one: values[one] for one in order[: order.index(name)]} | {name: made}


@pytest.mark.parametrize(
    ("id", "name", "value"),
    [
        ("norm.reads", "layer.0.attention_norm", ("layer", 0, "attention_output")),
        ("norm.reads", "embeddings.norm", ("", 0, "embeddings.word")),
        ("dense.input_activated", "layer.0.ffn_output", "gelu_erf"),
    ],
)
def test_another_input_than_the_recorded_one_is_named(id: str, name: str, value: Any) -> None:
    first, second = asked(), another(asked(), step=True)
    report, scene = scene_of(first, one_row(first, id, name, value))
    found = diagnose(report, scene, lambda kind, i: scene_of(second, one_row(second, id, name, value))[1])
    assert [cause.id for cause in found.causes] == [id]


def dropped(case: Case, name: str, p: float) -> Arrays:
    """The answers of a right subject up to this tensor, of which it drops out a share p."""
    values = right(case)
    kept = np.random.default_rng(5).random(values[name].shape) >= p
    order = list(values)
    return {one: values[one] for one in order[: order.index(name)]} | {name: np.float32(values[name] * kept / (1 - p))}


@pytest.mark.parametrize("name", ["embeddings.norm", "layer.0.probs", "layer.0.ffn_act", "layer.1.attention_sum"])
def test_what_is_multiplied_by_a_number_is_not_dropped_out(name: str) -> None:
    """Of a sum, one that drops out nothing but multiplies its branch."""
    branch = "layer.1.attention_output"

    def answers(case: Case, p: float) -> Arrays:
        if name != "layer.1.attention_sum":
            return dropped(case, name, p) if p else one_row(case, "dropout.off_by_factor", name, 1.25)
        values = dropped(case, branch, p) if p else right(case)
        made, stream = np.float64(values[branch]) * (1 if p else 1.25), right(case)["layer.0.output"]
        order = list(right(case))
        before = {one: value for one, value in right(case).items() if order.index(one) < order.index(name)}
        return before | {name: np.float32(made + stream)}

    for p, causes in ((0.2, ["dropout.on"]), (0.0, [])):
        first, second = asked(), another(asked(), step=True)
        report, scene = scene_of(first, answers(first, p))
        other = scene_of(second, answers(second, p))[1]
        found = diagnose(report, scene, lambda kind, i, other=other: other)
        assert (report.first, [cause.id for cause in found.causes]) == (name, causes)


def test_the_gradient_of_a_large_vocabulary_s_loss_is_made_without_a_matrix_of_its_square() -> None:
    case, hypothesis, row = asked(V=6000), by_id("backward.cross_entropy"), "back loss.mlm"
    _, scene = scene_of(case, right(case, ("", "grad")))
    choice = next(iter(hypothesis.choices(scene, scene.rows[row])))
    changed = scene.changed(rewritten(scene, hypothesis, [row], choice.value))
    tracemalloc.start()
    found = changed.replay("grad:mlm.logits")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not np.allclose(found, scene.replay("grad:mlm.logits"))
    assert peak < 30 * found.nbytes


@pytest.mark.parametrize(
    "recorded",
    [
        {"layer.0.query": "layer.0.key", "layer.0.key": "layer.0.query"},
        {"layer.0.key": "layer.0.value", "layer.0.value": "layer.0.key"}, {"layer.0.ffn_pre": "layer.0.ffn_act"},
        {"layer.0.ffn_act": "layer.0.ffn_pre"}, {"layer.0.attention_sum": "layer.0.attention_output"},
        {"pooled_pre": "pooled"},
    ],
)  # fmt: skip
def test_a_tensor_under_anothers_name_is_no_other_input(recorded: dict[str, str]) -> None:
    """Nothing is wrong but what is recorded: whatever reads it seems to read something else."""

    def answers(case: Case) -> Arrays:
        values = right(case)
        return values | {name: values[other] for name, other in recorded.items()}

    first, second = asked(), another(asked(), step=True)
    report, scene = scene_of(first, answers(first))
    found = diagnose(report, scene, lambda kind, i: scene_of(second, answers(second))[1])
    reading = ("attention.reads", "attention.scores_transposed", "dense.input_activated", "norm.reads",
               "activation.missing", "activation.other", "residual.norm_inside_branch")  # fmt: skip
    assert report.verdict == "diverges"
    assert not {cause.id for cause in found.causes[1:]} & {*reading}


def test_without_itself_nothing_wrong_is_named() -> None:
    found = diagnosed(by_id("norm.epsilon"), 3e-6, without=("norm.epsilon",))
    assert (found.outcome, found.causes) == ("unknown", ())


@pytest.mark.parametrize(("id", "value"), [("norm.epsilon", 1e-3), ("activation.relu", None)])
def test_a_cause_is_named_from_the_outputs_of_layers(id: str, value: Any) -> None:
    """Nothing inside of the layers was given; the steps between are made by the changed reference."""
    found = diagnosed(by_id(id), value, ["embeddings.norm", "layer.0.output", "layer.1.output", "pooled"])
    assert (found.outcome, [cause.id for cause in found.causes]) == ("named", [id])


def test_what_explains_half_of_it_is_not_named() -> None:
    """norm(branch) + input: that the sum in front of the norm lacks its residual is true, and not the cause."""
    found = diagnosed(by_id("residual.norm_inside_branch"), None, without=("residual.norm_inside_branch",))
    assert (found.outcome, found.causes) == ("unknown", ())
    assert found.note == "what explains the first wrong tensor leaves others beside it wrong"


def test_a_cause_that_another_case_does_not_confirm_is_not_named() -> None:
    case = asked()
    other = another(case)
    report, scene = scene_of(case, wrong(case, by_id("activation.relu"), None))
    assert diagnose(report, scene).outcome == "named"
    found = diagnose(report, scene, lambda kind, i: scene_of(other, right(other))[1])
    assert (found.outcome, found.causes) == ("unknown", ())
