"""What CONTRIBUTING says can be added, added from outside the package: a kernel, a subject of `verify`, a mistake.

A head from outside is in `heads/test_registry.py`, an objective in `objectives/test_entries.py`.
"""

from collections.abc import Collection
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

import bertref.verify
from bertref import backends, workload
from bertref.backends import registry
from bertref.config import BertConfig, Numerics
from bertref.ops import OPS
from bertref.ops.op import Kernel
from bertref.opset import OpSet
from bertref.verify import Answers, Case
from bertref.verify.judgement.reference import reference

from .verify.mistakes.measure import measure
from .verify.mistakes.mistake import Mistake, layers

SMALL = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)

# ---------------------------------------------------------------------------------------------------------------------
# a kernel, of a backend of another package


def _forward(xp: Any, x: Any) -> tuple[Any, Any]:
    y = np.tanh(x)
    return y, y


def _backward(xp: Any, dy: Any, y: Any) -> Any:
    return OPS["tanh"].backward(xp, dy, OPS["tanh"].forward(xp, np.arctanh(y))[1])


def _serves(x: Any) -> bool:
    """float64 alone."""
    return bool(x.dtype == np.float64)


def create(device: str | None) -> backends.Backend:
    """A backend like NumPy's, with a kernel for one op."""
    return replace(backends.get("numpy"), name="mine", kernels={"tanh": Kernel("tanh", _forward, _backward, _serves)})


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> backends.Backend:
    """It is found under its name, as an installed package's is."""
    entry = EntryPoint("mine", f"{__name__}:create", registry.GROUP)
    monkeypatch.setattr(registry, "_third_party", lambda: {"mine": entry})
    monkeypatch.setattr(registry, "_loaded", {})
    return backends.get("mine")


def test_a_kernel_from_outside_runs_where_it_serves(mine: backends.Backend) -> None:
    ops = OpSet(mine)
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    y, run = ops.tanh.forward(x)
    assert run.pair is mine.kernels["tanh"]
    np.testing.assert_allclose(ops.tanh.backward(np.ones_like(x), run).x, 1 - y**2, rtol=1e-12)
    assert ops.tanh.forward(x.astype(np.float32))[1].pair is OPS["tanh"]
    said = {dtype: next(c for c in workload.explain(ops, SMALL, Numerics(), dtype) if c.op == "tanh")
            for dtype in ("float64", "float32")}  # fmt: skip
    assert (said["float64"].implementation, said["float64"].module) == ("kernel", __name__)
    assert (said["float32"].implementation, said["float32"].why) == ("reference", "it serves: float64 alone.")


# ---------------------------------------------------------------------------------------------------------------------
# a subject of verify


class Mine:
    """Right answers, but for a factor on one of them."""

    name, precision, live = "mine", "float64", True

    def __init__(self, wrong: str | None = None) -> None:
        self.wrong = wrong

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        values = reference(case, wanted).values
        return Answers({n: v * 1.001 if n == self.wrong else v for n, v in values.items()})


def test_a_subject_from_outside_is_judged() -> None:
    assert bertref.verify.check(Mine(), only="forward").verdict == "right"
    report = bertref.verify.check(Mine("layer.0.context"), only="forward")
    assert (report.verdict, report.first, report.subject) == ("diverges", "layer.0.context", "mine")


# ---------------------------------------------------------------------------------------------------------------------
# a mistake of the catalogue


def test_a_mistake_from_outside_is_measured() -> None:
    def patch(model: Any) -> None:
        """The bias of the first feed-forward layer counts twice."""
        dense = layers(model)[0].intermediate.dense
        dense.register_forward_hook(lambda _module, _inputs, output: output + dense.bias)

    mistake = Mistake("ffn-bias-twice", "feed-forward", "this test", "layer.0.ffn_pre", patch)
    outcome = measure(mistake)
    assert outcome.detected
    assert outcome.report.first == "layer.0.ffn_pre"
