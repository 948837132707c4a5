"""Choosing an implementation: a kernel replaces a pair, never half of one, and falls back in one visible line."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.ops import OPS
from bertref.opset import Kernel, OpSet

from .model_cases import case, check, expected, ours


@dataclass
class WithKernels:
    """A backend like the one under test, with kernels of our own."""

    xp: Any
    kernels: dict[str, Kernel] = field(default_factory=dict)


@pytest.fixture(scope="module")
def xp(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.config.getoption("--backend")).xp


@dataclass
class Counting:
    """A kernel that does the reference's work, and keeps count."""

    name: str
    forwards: int = 0
    backwards: int = 0

    def kernel(self, serves: Any = lambda *_args, **_options: True) -> Kernel:
        op = OPS[self.name]

        def forward(*args: Any, **options: Any) -> Any:
            self.forwards += 1
            y, cache = op.forward(*args, **options)
            return y, ("kernel's own cache", cache)

        def backward(xp: Any, dy: Any, cache: Any) -> Any:
            self.backwards += 1
            label, inner = cache
            assert label == "kernel's own cache"
            return op.backward(xp, dy, inner)

        return Kernel(self.name, forward, backward, serves)


def test_every_op_is_an_attribute(xp: Any) -> None:
    ops = OpSet(WithKernels(xp))
    for name in OPS:
        assert getattr(ops, name) is getattr(ops, name)
    with pytest.raises(AttributeError, match=r"no op 'conv'; there are add, attention"):
        ops.conv  # noqa: B018 (looking is the test)


def test_a_kernel_replaces_both_halves(xp: Any) -> None:
    counters = {name: Counting(name) for name in ("attention", "dropout_add_norm", "decoder_cross_entropy")}
    ops = OpSet(WithKernels(xp, {name: counter.kernel() for name, counter in counters.items()}))
    c = case()
    check(ours(c, ops), expected(c))
    found = {name: (counter.forwards, counter.backwards) for name, counter in counters.items()}
    assert found == {"attention": (2, 2), "dropout_add_norm": (4, 4), "decoder_cross_entropy": (1, 1)}


def test_kernels_can_be_switched_off(xp: Any) -> None:
    counter = Counting("attention")
    ours(case(), OpSet(WithKernels(xp, {"attention": counter.kernel()}), kernels=False))
    assert (counter.forwards, counter.backwards) == (0, 0)


def test_forward_only_keeps_nothing(xp: Any) -> None:
    """Neither of the reference nor of a kernel, which is told; who calls backward all the same hears why it can't."""
    told = []

    def forward(*args: Any, gradients: bool = True, **options: Any) -> Any:
        told.append(gradients)
        return OPS["dense"].forward(*args, **options)

    kernel = Kernel("dense", forward, OPS["dense"].backward, lambda *_args, **_options: True, hints=("gradients",))
    ops = OpSet(WithKernels(xp, {"dense": kernel}))
    x, weight = xp.from_numpy(np.ones((3, 4))), xp.from_numpy(np.ones((2, 4)))
    for op, args in (("dense", (x, weight)), ("tanh", (x,))):
        for chosen, kept in ((ops, True), (ops.forward_only(), False), (ops.forward_only().for_backward(), True)):
            y, run = getattr(chosen, op).forward(*args)
            assert (run.cache is not None) == kept
            if kept:
                getattr(chosen, op).backward(y, run)
            else:
                with pytest.raises(ValueError, match=f"{op}: forward kept nothing"):
                    getattr(chosen, op).backward(y, run)
    assert told == [True, False, True]


def test_what_a_kernel_does_not_serve_the_reference_does(xp: Any, caplog: pytest.LogCaptureFixture) -> None:
    counter = Counting("dense")
    kernel = counter.kernel(lambda x, weight, *_rest: weight.shape[0] == 40)
    ops = OpSet(WithKernels(xp, {"dense": kernel}))
    c = case()
    with caplog.at_level(logging.INFO, logger="bertref"):
        check(ours(c, ops), expected(c))
        check(ours(c, ops), expected(c))
    assert (counter.forwards, counter.backwards) == (4, 4)  # two layers, twice
    assert [r.getMessage() for r in caplog.records] == [
        "dense: the kernel does not serve these shapes or dtypes; the reference is used"
    ]


def test_a_probe_inside_switches_the_kernel_off_for_both_halves(xp: Any) -> None:
    counter, other = Counting("attention"), Counting("layer_norm")
    ops = OpSet(WithKernels(xp, {"attention": counter.kernel(), "layer_norm": other.kernel()}))
    c = case()
    check(ours(c, ops, record=True), expected(c))
    assert (counter.forwards, counter.backwards) == (0, 0)
    assert (other.forwards, other.backwards) == (2, 2)  # embeddings and transform: nothing inside them is probed


def test_a_figure_chooses_no_implementation(xp: Any) -> None:
    """A kernel that is asked for one does the work all the same, and so does the reference where no kernel serves."""
    made = [xp.from_numpy(np.asarray(a)) for a in (
        np.eye(3, 4), np.eye(5, 4), np.zeros(5), np.arange(3), np.ones(3), 3.0,
    )]  # fmt: skip
    for serves, forwards in ((lambda *_args, **_options: True, 1), (lambda *_args, **_options: False, 0)):
        counter, seen = Counting("decoder_cross_entropy"), {}
        ops = OpSet(WithKernels(xp, {"decoder_cross_entropy": counter.kernel(serves)}))
        ops.decoder_cross_entropy.forward(*made, figure=seen.__setitem__)
        assert counter.forwards == forwards
        assert xp.to_numpy(seen["predicted"]).tolist() == [0, 1, 2]


def test_a_kernel_for_no_op_is_refused(xp: Any) -> None:
    kernel = Counting("dense").kernel()
    with pytest.raises(LookupError, match="kernels for ops that do not exist: convolution"):
        OpSet(WithKernels(xp, {"convolution": kernel}))


def test_a_wrong_kernel_shows(xp: Any) -> None:
    """The check of the whole model notices a kernel whose backward is off by a thousandth."""
    op = OPS["tanh"]

    def backward(xp: Any, dy: Any, cache: Any) -> Any:
        return op.backward(xp, dy * 1.001, cache)

    kernel = Kernel("tanh", op.forward, backward, lambda *_args, **_options: True)
    c = case()
    with pytest.raises(AssertionError, match="relative error"):
        check(ours(c, OpSet(WithKernels(xp, {"tanh": kernel}))), expected(c))


def test_the_reference_gets_the_namespace(xp: Any) -> None:
    ops = OpSet(WithKernels(xp))
    x = np.array([[0.5, -2.0]])
    y, run = ops.tanh.forward(xp.from_numpy(x))
    assert np.allclose(xp.to_numpy(y), np.tanh(x), rtol=1e-15)
    assert run.pair is OPS["tanh"]
    assert ops.xp is xp
