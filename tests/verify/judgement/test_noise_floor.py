"""The noise floor: sampled, steadied, kept."""

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.cases.shrink import reduce_case
from bertref.verify.graph.axes import Axes
from bertref.verify.graph.replay import Replay
from bertref.verify.judgement import cache, measures
from bertref.verify.judgement import noise_floor as noise
from bertref.verify.judgement.measures import (
    DRIFT,
    binned,
    blocks_of,
    compared,
    gains_of_rounding,
    measure,
    scatter,
    size_blocks,
)
from bertref.verify.judgement.noise_floor import for_larger, noise_floor, ratios, sample
from bertref.verify.judgement.reference import answer_names, reference
from bertref.verify.judgement.terms import Terms
from bertref.verify.judgement.truth import Truth

PLAIN = Axes((40, 50), ("row", "channel"))


def test_rounding_has_the_size_of_the_precision() -> None:
    case = generate(21)
    names = answer_names(case)
    for precision, unit in (("float32", 2.0**-24), ("bfloat16", 2.0**-9)):
        truth = Truth(case, precision)
        found = sample(truth, names, count=2)
        for name in ("embeddings.norm", "layer.1.output", "mlm.transform"):
            size = np.linalg.norm(truth(name)) / np.sqrt(np.count_nonzero(truth(name)))
            own = np.sqrt(found.own[name]["all"][0]) / size
            total = np.sqrt(found.total[name]["all"][0]) / size
            assert 0.2 * unit < own < 8 * unit, name
            assert own < 1.5 * total < 60 * unit, name


def test_nothing_is_quieter_than_a_rounding() -> None:
    """Looked-up embeddings have no error at all; they may have one."""
    case = generate(21)
    truth = Truth(case, "float32")
    usual = sample(truth, ["embeddings.word"], count=2).own["embeddings.word"]["all"][0]
    size = size_blocks(np.square(truth("embeddings.word")), truth.graph.axes("embeddings.word"))["all"][0]
    assert 0.5 * 2.0**-24 < np.sqrt(usual / size) < 2 * 2.0**-24


def test_the_key_bias_is_measured_by_the_query_bias() -> None:
    case = generate(21)
    found = sample(Truth(case, "float32"), answer_names(case), count=2)
    name = "grad:bert.encoder.layer.1.attention.self.{}.bias"
    assert found.total[name.format("key")]["all"] >= found.total[name.format("query")]["all"]


@pytest.mark.parametrize("name", ["grad:layer.0.context", "grad:layer.0.ffn_pre", "grad:layer.0.key"])
def test_a_step_may_err_in_proportion_to_the_subjects_own_inputs(name: str) -> None:
    """One position with a hundred times the reference's gradient has a hundred times its rounding, and no other has."""
    case = generate(21)
    truth = Truth(case, "bfloat16")
    usual = sample(truth, [name], count=2).own[name]
    upstream = truth.graph.steps[name].inputs[0]
    as_it_is = dict.fromkeys([upstream], truth(upstream))
    amplified = {upstream: truth(upstream).copy()}
    amplified[upstream][..., 5, :] *= 100
    plain, larger = (for_larger(truth, Replay(truth.graph, own), name, usual) for own in (as_it_is, amplified))
    for m, value in usual.items():
        np.testing.assert_array_equal(plain[m], value, m)
        assert (larger[m] >= value).all(), m
    made = Replay(truth.graph, amplified)(name)
    if name.endswith("key"):  # every key has a part of the gradient of query 5
        assert (larger["position"] > 10 * usual["position"])[1:12].all()
    else:
        others = np.arange(case.batch.input_ids.shape[1]) != 5
        np.testing.assert_array_equal(larger["position"][others], usual["position"][others])
        counted = truth.graph.axes(name).counts[:, 5]
        share = usual["all"] / size_blocks(np.square(truth(name)), truth.graph.axes(name))["all"]
        assert larger["position"][5] == pytest.approx(share[0] * np.mean(np.square(made[:, 5][counted])), rel=0.1)
    assert larger[DRIFT + "gain"] > 2 * usual[DRIFT + "gain"]


def test_a_key_bias_of_gradient_0_is_given_no_more_than_rounding() -> None:
    case = generate(21)
    truth = Truth(case, "float32")
    name = "grad:bert.encoder.layer.1.attention.self.key.bias"
    usual = sample(truth, [name], count=2).own[name]
    own = {"grad:layer.1.key": truth("grad:layer.1.key") * (1 + 1e-6)}
    np.testing.assert_allclose(for_larger(truth, Replay(truth.graph, own), name, usual)["all"], usual["all"], rtol=1e-3)


def test_a_noise_floor_is_drawn_once(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("BERTREF_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_memory", type(cache._memory)())
    case = reduce_case(generate(77), layers=1)
    names = ["layer.0.output", "loss.total"]
    first = noise_floor(Truth(case, "float32"), names)
    monkeypatch.setattr(noise, "sample", lambda *args, **options: pytest.fail("drawn again"))
    assert noise_floor(Truth(case, "float32"), names) == first
    monkeypatch.setattr(cache, "_memory", type(cache._memory)())
    again = noise_floor(Truth(case, "float32"), names)
    for name in names:
        for m, value in first.own[name].items():
            np.testing.assert_array_equal(again.own[name][m], value)
    for other, precision, recorded in (
        (generate(78), "float32", names), (case, "bfloat16", names), (case, "float32", names[:1]),
    ):  # fmt: skip
        with pytest.raises(pytest.fail.Exception, match="drawn again"):
            noise_floor(Truth(other, precision), recorded)


def test_a_damaged_file_is_drawn_again(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("BERTREF_CACHE", str(tmp_path))
    case = reduce_case(generate(77), layers=1)
    first = noise_floor(Truth(case, "float32"), ["loss.total"])
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:100], b"", whole[:-1], whole[:-9] + b"?" + whole[-8:], b"\0" + whole[1:]):
        file.write_bytes(damaged)
        monkeypatch.setattr(cache, "_memory", type(cache._memory)())
        assert noise_floor(Truth(case, "float32"), ["loss.total"]).own["loss.total"] == first.own["loss.total"]
        assert file.read_bytes() == whole


def test_a_folder_that_can_t_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("BERTREF_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(cache, "_memory", type(cache._memory)())
    assert noise_floor(Truth(generate(77, L=0), "float32"), ["loss.total"]).precision == "float32"


# ---------------------------------------------------------------------------------------------------------------------
# measures


@pytest.mark.parametrize("seed", range(5))
def test_independent_errors_have_one_size_in_every_measure(seed: int) -> None:
    draw = np.random.default_rng(seed)
    error, expected = draw.normal(size=(40, 50)), draw.normal(size=(40, 50))
    for name, value in measure(error, expected, PLAIN, drift=True).items():
        if name != DRIFT + "gain":  # one number, not an average
            assert 0.3 < np.mean(value) < 2.5, name


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (lambda e: 0.2 * e, "gain"), (lambda e: 0.2 * e, "gain by row"),
        (lambda e: 0.2 * np.linspace(-1, 1, 40)[:, None] * e, "gain by row"),
        (lambda e: np.full_like(e, 0.2), "offset by channel"),
        (lambda e: 0.3 * np.linspace(-1, 1, 40)[:, None] + 0 * e, "offset by row"),
        (lambda e: 0.2 * np.cos(3 * np.abs(e)), "bin"),
    ],
)  # fmt: skip
def test_a_systematic_fifth_of_the_rounding_shows_as_a_drift(wrong, name: str) -> None:
    draw = np.random.default_rng(0)
    error, expected = draw.normal(size=(40, 50)), draw.normal(size=(40, 50))
    before = measure(error, expected, PLAIN, drift=True)
    after = measure(error + wrong(expected), expected, PLAIN, drift=True)
    assert after["all"] < 1.2 * before["all"]
    assert after[DRIFT + name] > 1.5 * max(before[DRIFT + name][0], 1)


def test_what_does_not_count_is_in_no_measure() -> None:
    draw = np.random.default_rng(1)
    counts = np.zeros((40, 50), bool)
    counts[:20] = True
    axes = Axes((40, 50), ("row", "channel"), counts)
    error, expected = draw.normal(size=(40, 50)), draw.normal(size=(40, 50))
    spoilt = np.where(counts, error, 0)
    part = Axes((20, 50), ("row", "channel"))
    found, want = (
        measure(spoilt, np.where(counts, expected, 0), axes, drift=True),
        measure(error[:20], expected[:20], part, drift=True),
    )
    for name, value in want.items():
        np.testing.assert_allclose(found[name][:20] if name == "row" else found[name], value, rtol=1e-12)
    assert np.isnan(found["row"][20:]).all()


def test_a_smooth_error_does_not_jump() -> None:
    draw = np.random.default_rng(2)
    inputs = draw.normal(size=(40, 50))
    rough = draw.normal(size=(40, 50))
    assert scatter(np.sin(3 * inputs), inputs, PLAIN).max() < 0.01
    assert scatter(rough, inputs, PLAIN).min() > 0.5


def test_few_elements_have_no_bins() -> None:
    assert binned(np.ones(20), None, Axes((20,), ("channel",))) == {}


def test_ratios_leave_out_what_is_not_judged() -> None:
    found = ratios({"row": np.array([4.0, np.nan])}, {"row": np.array([1.0, np.nan])})
    assert found["row"][0] == 2.0
    assert np.isnan(found["row"][1])


def test_float64_answers_of_the_reference_have_no_error() -> None:
    case = generate(21, L=1)
    truth = Truth(case, "float64")
    for name, value in reference(case).values.items():
        counted = truth.graph.axes(name).clean(value)
        size = 1.0 if "key.bias" in name else np.abs(counted).max()
        np.testing.assert_allclose(truth(name), counted, rtol=0, atol=1e-12 * size, err_msg=name)


# ---------------------------------------------------------------------------------------------------------------------
# what sums are made of, and large answers


def test_a_gradient_that_is_0_has_the_rounding_of_its_terms() -> None:
    """A row of one token: its softmax can't change, so its query has no gradient; fused attention, which doesn't keep
    probabilities, gives it the difference of two roundings all the same, in every head another one."""
    case = generate(21)
    assert case.batch.attention_mask[1].sum() == 1
    truth, name = Truth(case, "float32"), "grad:layer.1.query"
    assert not truth(name)[1].any()
    fused = [one for one in answer_names(case) if not one.endswith(("scores", "probs"))]
    terms = Terms(truth, fused)(name)
    assert terms["row"][1] > 0.1 * terms["all"][0]
    assert Terms(truth, answer_names(case))(name)["row"][1] == 0  # recorded gradients of scores are just multiplied


def test_terms_are_squares_of_what_a_sum_adds_up() -> None:
    case = generate(21)
    truth = Truth(case, "float32")
    x, q = truth("embeddings.norm"), "bert.encoder.layer.0.attention.self.query."
    weight, bias = case.params[q + "weight"], case.params[q + "bias"]
    squares = ((x[..., None, :] * weight) ** 2).sum(axis=-1) + bias**2
    axes = truth.graph.axes("layer.0.query")
    want = size_blocks(axes.clean(squares), axes)
    found = Terms(truth, answer_names(case))("layer.0.query")
    for m, value in want.items():
        np.testing.assert_allclose(found[m], value, rtol=1e-10, err_msg=m)
    assert Terms(truth, answer_names(case))("layer.0.output") is None


def test_large_answers_are_measured_as_small_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    right = draw.normal(size=(90, 70))
    found = (right + 1e-3 * draw.normal(size=right.shape)).astype(np.float32)
    axes = Axes((90, 70), ("out", "in"))
    whole = [compared(found, right, axes, drift=drift) for drift in (True, False)] + [blocks_of(right, axes)]
    monkeypatch.setattr(measures, "PIECE", 1000)
    parts = [compared(found, right, axes, drift=drift) for drift in (True, False)] + [blocks_of(right, axes)]
    for one, other in zip(whole, parts, strict=True):
        assert one.keys() == other.keys()
        for m, value in one.items():
            np.testing.assert_allclose(other[m], value, rtol=1e-9, err_msg=m)


def test_rounding_of_few_large_elements_is_a_gain() -> None:
    """Errors of each element's own size, independent: where one row carries nearly everything, so does its rounding."""
    draw = np.random.default_rng(4)
    even = draw.normal(size=(200, 50))
    steep = even * np.where(np.arange(200) == 7, 100.0, 1.0)[:, None]
    for x, least in ((even, 1.0), (steep, 20.0)):
        found = []
        for _ in range(200):
            error = x * draw.normal(size=x.shape)
            found.append(measure(error, x, Axes(x.shape, ("row", "channel")), drift=True))
        want = gains_of_rounding(x)
        for name in (DRIFT + "gain", DRIFT + "gain by row"):
            sampled = np.mean([one[name] for one in found])
            np.testing.assert_allclose(sampled, want[name][0], rtol=0.3, err_msg=name)
        assert want[DRIFT + "gain"] > least * np.mean(x**2)
    assert gains_of_rounding(np.ones(5)) == {}
