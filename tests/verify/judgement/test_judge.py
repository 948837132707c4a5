"""Judgement: what is right passes, what is wrong doesn't, and the first wrong tensor is named."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.verify.cases.case import generate
from bertref.verify.emulation.rounding import Arithmetic
from bertref.verify.emulation.simulate import simulate
from bertref.verify.graph.axes import kind
from bertref.verify.judgement.detect import detect
from bertref.verify.judgement.judge import compare
from bertref.verify.judgement.limit import LIMIT
from bertref.verify.judgement.reference import answer_names, reference
from bertref.verify.records import PRECISIONS, WRONG, Answers, Arrays, Case, Finding, Report

FUSED = Arithmetic("bfloat16", "nearest", "permuted", variants=frozenset({"wide-activations"}), seed=99)


@cache
def the_case(**options: Any) -> Case:
    return generate(21, **options)


@cache
def singles() -> Arrays:
    """What NumPy computes in float32."""
    return reference(the_case(), dtype="float32").values


def status(report: Report) -> dict[str, Finding]:
    return {finding.name: finding for finding in report.findings}


SLOW = ("tf32", "float16", "mixed-bfloat16")
"""Precisions whose noise floors are sampled with --slow alone."""
SAMPLED = [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in PRECISIONS]


@pytest.mark.parametrize("precision", SAMPLED)
@pytest.mark.parametrize("variants", [(), ("wide-activations", "flash")], ids=str)
def test_an_implementation_that_was_not_sampled_is_right(precision: str, variants: tuple[str, ...]) -> None:
    arithmetic = Arithmetic(precision, "nearest", "permuted", True, frozenset(variants), seed=1000)
    report = compare(the_case(), Answers(simulate(the_case(), arithmetic)), precision)
    assert report.verdict == "right", [f for f in report.findings if f.status in WRONG][:3]
    assert report.exit_code == 0
    assert report.first is None


ONE_OF_A_KIND = list({kind(name): name for name in answer_names(the_case()) if "layer.0" not in name}.values())
SPOILT = [
    pytest.param(name, marks=pytest.mark.slow if number % 2 else ())
    for number, name in enumerate(ONE_OF_A_KIND[::4])
    if "key.bias" not in name
]


@pytest.mark.parametrize("name", SPOILT)
def test_an_error_in_one_answer_is_found_there(name: str) -> None:
    """A tensor that is off by one part in ten thousand, though everything after it was computed without the error."""
    values = dict(singles())
    values[name] = values[name] * np.float32(1.0001)
    assert np.any(values[name])
    report = compare(the_case(), Answers(values), "float32")
    assert report.first == name
    assert status(report)[name].status == "added"


CHANGES = [
    ({"gelu": "tanh"}, "layer.0.ffn_act", {}),
    ({"layer_norm_eps": 1e-5}, "embeddings.norm", {}),
    ({"layer_norm_eps": 1e-6}, "embeddings.norm", {}),
    ({"mask_value": -1.0}, "layer.0.probs", {}),
    ({"mlm_denominator_epsilon": 1e-3}, "loss.mlm", {}),
]


@pytest.mark.parametrize(("change", "first", "options"), CHANGES, ids=str)
def test_another_formula_is_told_from_rounding_in_float32(change: dict, first: str, options: dict) -> None:
    case = the_case(**options)
    wrong = reference(case, numerics=replace(case.numerics, **change), dtype="float32")
    report = compare(case, wrong, "float32")
    assert report.verdict == "diverges"
    assert report.exit_code == 1
    assert report.first == first
    assert status(report)[first].status == "added"


@pytest.mark.parametrize(("change", "first"), [(c, f) for c, f, _ in CHANGES[:2]], ids=str)
@pytest.mark.parametrize("seed", [21, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(40, 60))])
def test_another_formula_is_told_from_rounding_in_bfloat16(change: dict, first: str, seed: int) -> None:
    """Though end to end the difference is a tenth of the rounding: through the error that its step adds.

    The two GELUs differ where few inputs of the first layer are; where they are too few, it is a later layer's."""
    case = generate(seed)
    wrong = simulate(replace(case, numerics=replace(case.numerics, **change)), FUSED)
    report = compare(case, Answers(wrong), "bfloat16")
    assert report.first is not None
    assert kind(report.first) == kind(first)
    assert status(report)[report.first].status == "added"
    assert status(report)[report.first].total < status(report)[report.first].own


def test_what_follows_an_error_is_inherited() -> None:
    case = the_case()
    wrong = reference(case, numerics=replace(case.numerics, layer_norm_eps=1e-3), dtype="float32").values
    right_from = dict(singles())
    report = compare(case, Answers({**wrong}), "float32")
    found = status(report)
    assert found["embeddings.norm"].status == "added"
    assert found["layer.0.query"].status == "inherited"
    assert found["layer.0.query"].own <= LIMIT < found["layer.0.query"].total
    assert found["embeddings.sum"].status == "right"
    assert report.last_right == "embeddings.sum"
    assert right_from.keys() == wrong.keys()


def test_five_probes_bracket_the_guilty_layer() -> None:
    case = generate(22, L=4)
    names = ["embeddings.norm", "layer.0.output", "layer.1.output", "layer.2.output", "layer.3.output"]
    values = reference(case, dtype="float32").values
    wrong = simulate(
        replace(case, params={n: v * 1.001 if "layer.2.output.dense.w" in n else v for n, v in case.params.items()}),
        Arithmetic("float32"),
    )
    for source, first in ((values, None), (wrong, "layer.2.output")):
        report = compare(case, Answers({name: source[name] for name in names}), "float32")
        assert report.first == first
    assert report.last_right == "layer.1.output"
    found = status(report)["layer.2.output"]
    assert found.status == "wrong"
    assert "after layer.1.output" in found.note
    assert status(report)["layer.3.output"].status == "inherited"
    assert status(report)["layer.2.query"].status == "missing"


@pytest.mark.parametrize("kept", [["loss.total"], ["pooled"], ["grad:bert.embeddings.LayerNorm.weight"]], ids=str)
def test_a_single_answer_can_be_judged(kept: list[str]) -> None:
    values = singles()
    right = compare(the_case(), Answers({name: values[name] for name in kept}), "float32")
    assert right.verdict == "right"
    wrong = compare(the_case(), Answers({name: values[name] * np.float32(1.0001) for name in kept}), "float32")
    assert wrong.first == kept[0]


def test_updates_are_judged_from_both_gradients() -> None:
    """Wrong gradients, right optimiser: the update is wrong in total and right for what it was given."""
    case = the_case()
    other = replace(case, params={n: v * 1.01 if "pooler.dense.w" in n else v for n, v in case.params.items()})
    values = dict(singles())
    wrong = simulate(other, Arithmetic("float32"))
    values |= {name: value for name, value in wrong.items() if name.startswith(("grad:bert.emb", "grad:cls"))}
    from bertref.verify.graph.replay import Replay
    from bertref.verify.graph.steps import Graph

    replay = Replay(Graph(case), values)
    name = "update:bert.embeddings.LayerNorm.weight"
    values |= {n: replay(n).astype(np.float32) for n in answer_names(case) if n.startswith("update:")}
    found = status(compare(case, Answers(values), "float32"))[name]
    assert found.total > LIMIT > found.own
    assert found.status == "inherited"


def test_a_wrong_optimiser_is_found_at_the_update() -> None:
    case = the_case()
    without = replace(case, optimizer=replace(case.optimizer, optimizer=replace(
        case.optimizer.optimizer, weight_decay=0.0)))  # fmt: skip
    report = compare(case, reference(without, dtype="float32"), "float32")
    assert report.first == "update:bert.embeddings.word_embeddings.weight"
    assert status(report)["update:bert.embeddings.LayerNorm.weight"].status == "right"


def test_the_key_bias_s_gradient_may_be_rounding() -> None:
    """Its right value is 0; a fraction of the query bias's rounding is as right."""
    values = dict(singles())
    name = "grad:bert.encoder.layer.0.attention.self.key.bias"
    size = np.abs(values[name.replace("key", "query")]).max()
    values[name] = np.full_like(values[name], 2.0**-24 * size)
    assert compare(the_case(), Answers(values), "float32").verdict == "right"
    values[name] = np.full_like(values[name], 1e-3 * size)
    assert status(compare(the_case(), Answers(values), "float32"))[name].status == "added"


def test_garbage_on_padding_is_allowed() -> None:
    case, values = the_case(), dict(singles())
    padded = case.batch.attention_mask == 0
    for name in ("layer.0.output", "layer.1.value", "grad:layer.1.output"):
        values[name] = np.where(padded[..., None], np.nan, values[name]).astype(np.float32)
    assert compare(case, Answers(values), "float32").verdict == "right"


def test_attention_to_padding_is_not_allowed() -> None:
    case, values = the_case(), dict(singles())
    probs = values["layer.0.probs"].copy()
    row = int(np.argmax((case.batch.attention_mask[:, -1] == 0) & (case.batch.attention_mask[:, 1] == 1)))
    probs[row, 0, 0, -1] = 1e-3
    values["layer.0.probs"] = probs
    found = status(compare(case, Answers(values), "float32"))["layer.0.probs"]
    assert found.status == "added"
    assert found.place.index == (row, 0, 0, case.config.max_position_embeddings - 1)
    assert "padded keys" in found.place.concentrated


def test_not_finite_comes_first() -> None:
    values = dict(singles())
    spoilt = values["layer.1.ffn_act"].copy()
    spoilt[0, 0, 0], spoilt[0, 0, 1] = np.nan, np.inf
    values["layer.1.ffn_act"] = spoilt
    report = compare(the_case(), Answers(values), "float32")
    found = status(report)["layer.1.ffn_act"]
    assert report.first == "layer.1.ffn_act"
    assert found.status == "not-finite"
    assert found.note.startswith("1 NaN and 1 infinite")
    assert status(report)["layer.1.ffn_output"].status == "right"


def test_shapes_and_names() -> None:
    case, values = the_case(), dict(singles())
    values["layer.0.query"] = values["layer.0.query"][:, :-1]
    values["layer.9.query"] = values["layer.0.key"]
    values["loss.total"] = values["loss.total"].reshape(1)
    report = compare(case, Answers(values), "float32")
    found = status(report)
    assert found["layer.0.query"].status == "shape"
    assert "is expected" in found["layer.0.query"].note
    assert found["loss.total"].status == "right"
    assert any("layer.9.query" in note for note in report.notes)
    assert report.first == "layer.0.query"


@pytest.mark.parametrize(("shape", "off", "expected"), [
    ((3,), 0.0, "right"), ((3, 1, 1), 0.0, "right"), ((3,), 0.01, "added"), ((1, 3), 0.0, "shape"), ((), 0.0, "shape"),
])  # fmt: skip
def test_a_last_axis_of_length_1_may_be_missing_or_too_much(
    shape: tuple[int, ...], off: float, expected: str
) -> None:
    """As in the scores of a regression."""
    case = generate(21, head="regression", B=3, L=1)
    values = dict(reference(case, dtype="float32").values)
    score = values["classifier.logits"] + np.float32(off)
    assert score.shape == (3, 1)
    values["classifier.logits"] = score.reshape(shape) if shape else score[0, 0]
    assert status(compare(case, Answers(values), "float32"))["classifier.logits"].status == expected


def test_mlm_values_at_every_position_are_gathered() -> None:
    case, values = the_case(), dict(singles())
    B, S = case.batch.input_ids.shape
    everywhere = np.random.default_rng(0).normal(size=(B, S, case.config.vocab_size)).astype(np.float32)
    real = case.batch.masked_lm_weights > 0
    rows = np.nonzero(real)[0]
    everywhere[rows, case.batch.masked_lm_positions[real]] = values["mlm.logits"][real]
    values["mlm.logits"] = everywhere
    assert compare(case, Answers(values), "float32").verdict == "right"


def test_a_row_without_tokens_is_judged_apart() -> None:
    """Uniform probabilities or zeros: the row itself, and what depends on it, is nobody's mistake; the others are."""
    case = the_case(edge="masked-row")
    for mask in (-10000.0, -float("inf")):
        answers = reference(case, numerics=replace(case.numerics, mask_value=mask), dtype="float32")
        report = compare(case, answers, "float32")
        assert report.verdict == "right", report.first
        assert status(report)["loss.nsp"].status == "unjudged"
    spoilt = dict(answers.values)
    spoilt["layer.0.context"] = spoilt["layer.0.context"] * np.float32(1.001)
    assert compare(case, Answers(spoilt), "float32").first == "layer.0.context"


def test_nothing_given_could_not_run() -> None:
    report = compare(the_case(), Answers({"something": np.zeros(3)}), "float32")
    assert report.verdict == "could not run"
    assert report.exit_code == 2


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="'float8' is none of"):
        compare(the_case(), Answers({}), "float8")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_precision_is_detected(precision: str) -> None:
    case = the_case()
    values = simulate(case, Arithmetic(precision, seed=5))
    carried = np.float64 if precision == "float64" else np.float32
    assert detect(case, {name: value.astype(carried) for name, value in values.items()}) == precision


@pytest.mark.parametrize("precision", SAMPLED)
def test_answers_are_judged_in_the_precision_that_is_detected(precision: str) -> None:
    case = the_case()
    report = compare(case, Answers(simulate(case, Arithmetic(precision, seed=5))))
    assert report.verdict == "right"
    assert report.precision == precision


def test_one_mistake_does_not_make_a_coarser_precision() -> None:
    case = the_case()
    wrong = reference(case, numerics=replace(case.numerics, gelu="tanh"), dtype="float32")
    assert detect(case, wrong.values) == "float32"
