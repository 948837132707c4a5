"""Laws that hold for every input: invariances, linearity, transposes."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from bertref.golden.generate.op_inputs import INPUTS, OpCase
from bertref.ops import OPS

from .checks import random_case
from .harness import Arrays, backward, close, forward, solve
from .strategies import options, sizes

seeds = st.integers(0, 2**32 - 1)
ROUNDING = 1e-13
"""A few hundred units in the last place of float64."""


def output(op: str, xp: Any, case: OpCase) -> np.ndarray:
    return xp.to_numpy(forward(OPS[op], xp, case).y)


def changed(case: OpCase, **inputs: Any) -> OpCase:
    return OpCase({**case.inputs, **inputs}, case.options)


@pytest.mark.parametrize("op", OPS)
@given(data=st.data(), seed=seeds)
def test_backward_is_linear(op: str, xp: Any, data: st.DataObject, seed: int) -> None:
    case, dy, rng = random_case(op, seed, data.draw(sizes(op)), **data.draw(options(op)))
    other = rng.normal(size=dy.shape)
    parts = [solve(OPS[op], xp, case, upstream)[1] for upstream in (dy, other)]
    combined = solve(OPS[op], xp, case, 2.5 * dy - 0.75 * other)[1]
    floor = max((float(np.max(np.abs(g))) for g in parts[0].values() if g.size), default=0.0)
    for name, gradient in combined.items():
        close(gradient, 2.5 * parts[0][name] - 0.75 * parts[1][name], 10 * ROUNDING, f"{op}, {name}", floor)


LINEAR = {"embedding": "table", "gather": "x", "pack": "x", "unpack": "x", "dropout": "x", "add": "a"}


@pytest.mark.parametrize("op", LINEAR)
@given(data=st.data(), seed=seeds)
def test_backward_is_the_transpose_of_a_linear_forward(op: str, xp: Any, data: st.DataObject, seed: int) -> None:
    """<dy, J x> = <Jᵀ dy, x>."""
    case, dy, _ = random_case(op, seed, data.draw(sizes(op)))
    name = LINEAR[op]
    if op == "add":
        case = changed(case, b=np.zeros_like(case.inputs["b"]))
    y, gradients = solve(OPS[op], xp, case, dy)
    there, back = dy * y, gradients[name] * case.inputs[name]
    limit = ROUNDING * (np.sum(np.abs(there)) + np.sum(np.abs(back)))
    assert abs(np.sum(there) - np.sum(back)) <= limit


@given(data=st.data(), seed=seeds)
def test_packing_and_unpacking_are_inverse_and_transposed(xp: Any, data: st.DataObject, seed: int) -> None:
    case, dy, _ = random_case("unpack", seed, data.draw(sizes("unpack")))
    padded, gradients = solve(OPS["unpack"], xp, case, dy)
    packed, back = solve(OPS["pack"], xp, changed(case, x=padded), case.inputs["x"])
    assert np.array_equal(packed, case.inputs["x"])
    assert np.array_equal(back["x"], padded)
    assert np.array_equal(gradients["x"], output("pack", xp, changed(case, x=dy)))


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@given(data=st.data(), seed=seeds, shift=st.floats(-50, 50))
def test_softmax_ignores_a_shift(op: str, xp: Any, data: st.DataObject, seed: int, shift: float) -> None:
    case, dy, _ = random_case(op, seed, data.draw(sizes(op)))
    y, gradients = solve(OPS[op], xp, case, dy)
    moved_y, moved = solve(OPS[op], xp, changed(case, x=case.inputs["x"] + shift), dy)
    close(moved_y, y, ROUNDING, op)
    close(moved["x"], gradients["x"], ROUNDING, op, floor=1.0)
    # a gradient along the shift would move the output
    assert np.all(np.abs(gradients["x"].sum(axis=-1)) <= ROUNDING * np.abs(dy).sum(axis=-1))


@given(data=st.data(), seed=seeds)
def test_softmax_sums_to_one_and_log_softmax_is_its_logarithm(xp: Any, data: st.DataObject, seed: int) -> None:
    case, _, _ = random_case("softmax", seed, data.draw(sizes("softmax")))
    y = output("softmax", xp, case)
    assert np.all(y > 0)
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-15 * 10)
    np.testing.assert_allclose(np.exp(output("log_softmax", xp, case)), y, rtol=1e-14)


@given(data=st.data(), seed=seeds, shift=st.floats(-20, 20), scale=st.floats(0.25, 4))
def test_layer_norm_ignores_shift_and_scale(
    xp: Any, data: st.DataObject, seed: int, shift: float, scale: float
) -> None:
    """x -> c x + s leaves y, if ε grows with the variance; and then dx shrinks by c."""
    case, dy, _ = random_case("layer_norm", seed, data.draw(sizes("layer_norm")), eps=0.01)
    y, gradients = solve(OPS["layer_norm"], xp, case, dy)
    moved = OpCase({**case.inputs, "x": scale * case.inputs["x"] + shift}, {"eps": 0.01 * scale * scale})
    moved_y, moved_gradients = solve(OPS["layer_norm"], xp, moved, dy)
    tolerance = ROUNDING * (1 + abs(shift) / scale)
    close(moved_y, y, tolerance, "y")
    close(moved_gradients["x"] * scale, gradients["x"], 10 * tolerance, "dx", floor=1.0)
    for name in ("gamma", "beta"):
        close(moved_gradients[name], gradients[name], tolerance, name, floor=1.0)


@given(data=st.data(), seed=seeds)
def test_layer_norm_normalises(xp: Any, data: st.DataObject, seed: int) -> None:
    case, dy, _ = random_case("layer_norm", seed, data.draw(sizes("layer_norm")), eps=1e-12)
    H = case.inputs["x"].shape[-1]
    y, gradients = solve(OPS["layer_norm"], xp, changed(case, gamma=np.ones(H), beta=np.zeros(H)), dy)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose((y * y).mean(axis=-1), 1, rtol=1e-9)
    for direction in (np.ones(H), y):  # x can't move y along either, so no gradient lies along either
        np.testing.assert_allclose((gradients["x"] * direction).sum(axis=-1), 0, atol=1e-9)


class Attention:
    """A case of attention whose arrays can be permuted."""

    def __init__(self, seed: int, drawn: dict[str, int], given_options: dict[str, Any]) -> None:
        self.case, self.dy, self.rng = random_case("attention", seed, drawn, **given_options)
        self.heads = self.case.options["heads"]

    def permuted(self, *, batch: Any = None, keys: Any = None, heads: Any = None) -> OpCase:
        """The case with the rows of the batch, the keys or the heads in another order."""
        arrays = dict(self.case.inputs)
        for name in ("query", "key", "value", "mask", "keep"):
            if batch is not None and arrays[name] is not None:
                arrays[name] = arrays[name][batch]
        if keys is not None:
            arrays |= {name: arrays[name][:, keys] for name in ("key", "value", "mask")}
            arrays["keep"] = None if arrays["keep"] is None else arrays["keep"][:, :, :, keys]
        if heads is not None:
            arrays |= {name: self.by_head(arrays[name], heads) for name in ("query", "key", "value")}
            arrays["keep"] = None if arrays["keep"] is None else arrays["keep"][:, heads]
        return OpCase(arrays, self.case.options)

    def by_head(self, x: np.ndarray, order: Any) -> np.ndarray:
        B, S, H = x.shape
        return x.reshape(B, S, self.heads, H // self.heads)[:, :, order].reshape(x.shape)


attention_cases = st.builds(Attention, seeds, sizes("attention"), options("attention"))


@given(attention=attention_cases)
def test_attention_does_not_care_about_the_order_of_keys(xp: Any, attention: Attention) -> None:
    order = attention.rng.permutation(attention.case.inputs["key"].shape[1])
    y, gradients = solve(OPS["attention"], xp, attention.case, attention.dy)
    moved_y, moved = solve(OPS["attention"], xp, attention.permuted(keys=order), attention.dy)
    close(moved_y, y, 10 * ROUNDING, "context")
    expected = {"query": gradients["query"], "key": gradients["key"][:, order], "value": gradients["value"][:, order]}
    _compare(moved, expected)


@given(attention=attention_cases)
def test_attention_treats_sequences_and_heads_apart(xp: Any, attention: Attention) -> None:
    y, gradients = solve(OPS["attention"], xp, attention.case, attention.dy)
    rows = attention.rng.permutation(len(y))
    moved_y, moved = solve(OPS["attention"], xp, attention.permuted(batch=rows), attention.dy[rows])
    close(moved_y, y[rows], ROUNDING, "context")
    _compare(moved, {name: gradient[rows] for name, gradient in gradients.items()})
    heads = attention.rng.permutation(attention.heads)
    by_head = attention.by_head
    moved_y, moved = solve(OPS["attention"], xp, attention.permuted(heads=heads), by_head(attention.dy, heads))
    close(moved_y, by_head(y, heads), ROUNDING, "context")
    _compare(moved, {name: by_head(gradient, heads) for name, gradient in gradients.items()})


@given(attention=attention_cases, extra=st.integers(1, 3))
def test_attention_ignores_more_padding(xp: Any, attention: Attention, extra: int) -> None:
    """With padding appended, rows of the old length stay, and what is appended gets no gradient through the keys."""
    S = attention.dy.shape[1]
    if np.any(~attention.case.inputs["mask"].any(axis=1)) and attention.case.options["mask_value"] != -math.inf:
        return  # a query without keys attends to the padding, too
    wider: Arrays = {}
    for name in ("query", "key", "value"):
        filler = attention.rng.normal(size=(len(attention.dy), extra, attention.dy.shape[2]))
        wider[name] = np.concatenate([attention.case.inputs[name], filler], axis=1)
    wider["mask"] = np.pad(attention.case.inputs["mask"], ((0, 0), (0, extra)))
    if attention.case.inputs["keep"] is not None:
        wider["keep"] = np.pad(attention.case.inputs["keep"], ((0, 0), (0, 0), (0, extra), (0, extra)))
    dy = np.pad(attention.dy, ((0, 0), (0, extra), (0, 0)))
    y, gradients = solve(OPS["attention"], xp, attention.case, attention.dy)
    wider_y, wider_gradients = solve(OPS["attention"], xp, changed(attention.case, **wider), dy)
    close(wider_y[:, :S], y, ROUNDING, "context")
    _compare({name: gradient[:, :S] for name, gradient in wider_gradients.items()}, gradients)
    for name in ("key", "value"):
        assert not np.any(wider_gradients[name][:, S:])


@given(attention=attention_cases)
def test_the_bias_of_the_key_is_a_gauge_freedom(xp: Any, attention: Attention) -> None:
    """It can't change the output, and its gradient, Σ dk over all tokens, is 0."""
    bias = attention.rng.normal(size=attention.dy.shape[2])
    y, gradients = solve(OPS["attention"], xp, attention.case, attention.dy)
    moved = changed(attention.case, key=attention.case.inputs["key"] + bias)
    # under a mask value of -10000 the masked keys keep a weight of e^-10000 = 0, so the gauge is exact there, too
    close(output("attention", xp, moved), y, 100 * ROUNDING, "context")
    scale = np.sum(np.abs(gradients["key"])) + np.sum(np.abs(gradients["query"]))
    assert np.all(np.abs(gradients["key"].sum(axis=(0, 1))) <= ROUNDING * scale)


def _compare(got: Arrays, expected: Arrays) -> None:
    floor = max((float(np.max(np.abs(g))) for g in expected.values() if g.size), default=0.0)
    for name, gradient in expected.items():
        close(got[name], gradient, 10 * ROUNDING, f"gradient of {name}", floor)


@pytest.mark.parametrize(
    "op",
    ["cross_entropy", "decoder_cross_entropy", "squared_error", "binary_cross_entropy", "soft_cross_entropy",
     "kl_divergence", "cosine"],
)
@given(data=st.data(), seed=seeds, cut=st.integers(0, 6))
def test_losses_of_chunks_add_up(op: str, xp: Any, data: st.DataObject, seed: int, cut: int) -> None:
    """The denominator belongs to the whole, so the parts' losses and gradients simply add."""
    case, dy, _ = random_case(op, seed, data.draw(sizes(op)))
    shared = {"table", "bias", "denominator"}

    def part(rows: slice) -> OpCase:
        return changed(case, **{n: a[rows] for n, a in case.inputs.items() if n not in shared and a is not None})

    whole_loss, whole = solve(OPS[op], xp, case, dy)
    parts = [solve(OPS[op], xp, part(rows), dy) for rows in (slice(cut), slice(cut, None))]
    close(np.asarray(parts[0][0] + parts[1][0]), whole_loss, ROUNDING, "loss", floor=1.0)
    for name, gradient in whole.items():
        a, b = parts[0][1][name], parts[1][1][name]
        close(a + b if name in shared else np.concatenate([a, b]), gradient, ROUNDING, name, floor=1.0)


@given(data=st.data(), seed=seeds, shift=st.floats(-50, 50))
def test_cross_entropy_ignores_a_shift(xp: Any, data: st.DataObject, seed: int, shift: float) -> None:
    case, dy, _ = random_case("cross_entropy", seed, data.draw(sizes("cross_entropy")))
    moved = changed(case, logits=case.inputs["logits"] + shift)
    close(output("cross_entropy", xp, moved), output("cross_entropy", xp, case), ROUNDING, "loss", floor=1.0)
    gradient = solve(OPS["cross_entropy"], xp, case, dy)[1]["logits"]
    assert np.all(np.abs(gradient.sum(axis=-1)) <= ROUNDING * (1 + abs(dy)))


@given(data=st.data(), seed=seeds, weights=st.booleans())
def test_soft_cross_entropy_of_a_label_is_cross_entropy(
    xp: Any, data: st.DataObject, seed: int, weights: bool
) -> None:
    case, dy, _ = random_case("cross_entropy", seed, data.draw(sizes("cross_entropy")), weights=weights)
    logits, counts = case.inputs["logits"], case.inputs["weights"]
    targets = np.eye(logits.shape[1])[case.inputs["labels"]] * (1.0 if counts is None else counts[:, None])
    soft = OpCase({"logits": logits, "targets": targets, "denominator": case.inputs["denominator"]})
    loss, grads = solve(OPS["cross_entropy"], xp, case, dy)
    soft_loss, soft_grads = solve(OPS["soft_cross_entropy"], xp, soft, dy)
    close(soft_loss, loss, ROUNDING, "loss", floor=1.0)
    close(soft_grads["logits"], grads["logits"], ROUNDING, "gradient", floor=1.0)


@given(data=st.data(), seed=seeds)
def test_binary_cross_entropy_is_cross_entropy_against_a_logit_of_0(xp: Any, data: st.DataObject, seed: int) -> None:
    case, dy, _ = random_case("binary_cross_entropy", seed, data.draw(sizes("binary_cross_entropy")))
    x, t = case.inputs["logits"].reshape(-1), case.inputs["targets"].reshape(-1)
    two = OpCase({"logits": np.stack([0 * x, x], 1), "targets": np.stack([1 - t, t], 1),
                  "denominator": case.inputs["denominator"]})  # fmt: skip
    loss, grads = solve(OPS["binary_cross_entropy"], xp, case, dy)
    two_loss, two_grads = solve(OPS["soft_cross_entropy"], xp, two, dy)
    close(two_loss, loss, ROUNDING, "loss", floor=1.0)
    close(two_grads["logits"][:, 1], grads["logits"].reshape(-1), ROUNDING, "gradient", floor=1.0)


@pytest.mark.parametrize("op", ["gelu_erf", "gelu_tanh"])
@given(seed=seeds)
def test_gelu_and_its_mirror_image_differ_by_x(op: str, xp: Any, seed: int) -> None:
    """x Φ(x) + x Φ(-x) = x."""
    case, _, _ = random_case(op, seed, {"B": 3, "H": 5})
    x = case.inputs["x"]
    difference = output(op, xp, case) - output(op, xp, changed(case, x=-x))
    np.testing.assert_allclose(difference, x, rtol=0, atol=1e-15 * 10)


def test_the_two_gelus_differ_by_at_most_what_the_docstring_says(xp: Any) -> None:
    case = OpCase({"x": np.linspace(-8, 8, 20001)})
    largest = np.max(np.abs(output("gelu_erf", xp, case) - output("gelu_tanh", xp, case)))
    assert 4.65e-4 < largest < 4.75e-4


@pytest.mark.parametrize("op", [name for name in OPS if INPUTS[name].may_be_empty])
def test_an_empty_batch_gives_empty_results_and_zero_gradients(op: str, xp: Any) -> None:
    known = INPUTS[op]
    drawn = {**dict.fromkeys(known.sizes, 3), **dict.fromkeys(known.may_be_empty, 0)}
    case, dy, _ = random_case(op, 0, drawn)
    call = forward(OPS[op], xp, case)
    assert not np.any(xp.to_numpy(call.y)), "a loss over nothing is 0, every other output is empty"
    for name, gradient in backward(OPS[op], xp, call, dy).items():
        assert gradient.shape == case.inputs[name].shape
        assert not np.any(xp.to_numpy(gradient))
