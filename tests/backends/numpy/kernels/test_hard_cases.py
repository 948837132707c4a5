"""Cases in which digits cancel: there above all a kernel must not be worse than its reference pair."""

import numpy as np
import pytest

from bertref.golden.generate.op_inputs import OpCase, decoder_cross_entropy, dropout_add_norm, layer_norm
from bertref.ops import OPS

from .pairs import KERNELS, XP, as_op, check_error, errors, in_pieces, truth_of

N, V, H = 12, 37, 16


def check(name: str, case: OpCase, upstream: np.ndarray) -> None:
    check_error(KERNELS[name], case, upstream, "float32")
    with in_pieces(workers=2):
        check_error(KERNELS[name], case, upstream, "float32")


@pytest.mark.parametrize("offset", [0.0, 10.0, 1000.0])
@pytest.mark.parametrize("width", [7, 64, 768])
@pytest.mark.parametrize("seed", range(3))
def test_rows_far_from_zero(offset: float, width: int, seed: int) -> None:
    """The mean is a thousand times the deviation, so three digits of the deviation are lost before it is squared."""
    rng = np.random.default_rng(seed)
    case = layer_norm(rng, 2, 5, 4)
    x = rng.normal(size=(2, 5, width)) + offset
    gamma, beta = 1 + 0.5 * rng.normal(size=width), rng.normal(size=width)
    upstream = rng.normal(size=x.shape)
    check("layer_norm", OpCase({"x": x, "gamma": gamma, "beta": beta}, {"eps": 1e-12}), upstream)
    case = dropout_add_norm(rng, 2, 5, width)
    case.inputs["residual"] += offset
    check("dropout_add_norm", case, upstream)


@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0, 20.0])
@pytest.mark.parametrize("sure", [False, True])
def test_predictions_from_a_guess_to_certainty(spread: float, sure: bool) -> None:
    """Where the label has all but the whole probability, its gradient is what is left of p - 1."""
    rng = np.random.default_rng(4)
    case = decoder_cross_entropy(rng, N, V, H)
    case.inputs["x"] *= spread
    if sure:
        logits = case.inputs["x"] @ case.inputs["table"].T + case.inputs["bias"]
        case.inputs["labels"] = np.argmax(logits, axis=1)
    check("decoder_cross_entropy", case, np.asarray(1.7))


@pytest.mark.parametrize("margin", [3.0, 10.0, 20.0])
def test_a_sure_label_keeps_its_digits(margin: float) -> None:
    """In float32, where p - 1 loses two, five and all of its seven."""
    inputs = {
        "x": np.array([[1.0, 0.5]]), "table": np.array([[margin, 0.0], [1.0, -2.0], [0.0, -1.5]]),
        "bias": np.zeros(3), "labels": np.array([0]), "weights": np.ones(1), "denominator": np.asarray(1.0),
    }  # fmt: skip
    case, upstream, op = OpCase(inputs, {}), np.asarray(1.0), OPS["decoder_cross_entropy"]
    truth = truth_of(op, case, upstream)
    found = errors(as_op(KERNELS[op.name]), case, upstream, "float32", truth)
    assert max(found.values()) <= 4 * np.finfo("float32").eps
    if margin > 3:
        assert errors(op, case, upstream, "float32", truth)["x"] > 100 * np.finfo("float32").eps


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_does_not_count_may_hold_anything(value: float) -> None:
    """Loss and gradients are those of the other rows."""
    rng = np.random.default_rng(9)
    case = decoder_cross_entropy(rng, N, V, H)
    inputs = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in case.inputs.items()}
    inputs["weights"][3] = 0
    inputs["x"][3, 1] = value
    kernel = KERNELS["decoder_cross_entropy"]
    with np.errstate(all="ignore"):
        loss, cache = kernel.forward(XP, **inputs)
        expected, reference = OPS["decoder_cross_entropy"].forward(XP, **inputs)
        got = kernel.backward(XP, np.float32(1), cache)
        want = OPS["decoder_cross_entropy"].backward(XP, np.float32(1), reference)
    assert np.isfinite(loss)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for name in ("x", "bias"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(np.isnan(got.table), np.isnan(want.table))
    np.testing.assert_allclose(got.table, want.table, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_counts_spoils_the_loss(value: float) -> None:
    case = decoder_cross_entropy(np.random.default_rng(9), N, V, H)
    case.inputs["weights"][:] = 1.0
    case.inputs["x"][3, 1] = value
    with np.errstate(all="ignore"):
        loss, _ = KERNELS["decoder_cross_entropy"].forward(XP, **case.inputs)
    assert np.isnan(loss)


def test_what_dropout_drops_is_gone() -> None:
    """An infinity that is dropped leaves no trace, as in the reference."""
    case = dropout_add_norm(np.random.default_rng(2), 2, 5, 8)
    case.inputs["keep"][1, 2, 3] = False
    plain, _ = KERNELS["dropout_add_norm"].forward(XP, **case.inputs, **case.options)
    for value in (np.nan, np.inf, -np.inf):
        case.inputs["x"][1, 2, 3] = value
        y, _ = KERNELS["dropout_add_norm"].forward(XP, **case.inputs, **case.options)
        assert y.tobytes() == plain.tobytes()
