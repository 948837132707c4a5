"""The steps are the model: composed, they give every answer; one by one, their backward is autograd's."""

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.graph.contribution import Contribution
from bertref.verify.graph.replay import Replay, sources, span
from bertref.verify.graph.steps import Graph, Rewritten
from bertref.verify.judgement.reference import answer_names, reference
from bertref.verify.records import Case
from tests import model_cases

CASES = [
    {}, {"dialect": "google"}, {"optimizer": "lamb", "L": 0}, {"edge": "large-scores", "hidden_act": "relu"},
    {"numerics": {"scale_scores": "query", "mask_value": -float("inf")}, "S": 9, "L": 1, "B": 1},
]  # fmt: skip


def distance(graph: Graph, name: str, a: np.ndarray, b: np.ndarray) -> float:
    axes = graph.axes(name)
    assert a.shape == b.shape == axes.shape, name
    scale = 1.0 if "key.bias" in name else max(float(np.abs(axes.clean(b)).max(initial=0)), 1e-300)
    return float(np.abs(axes.clean(a) - axes.clean(b)).max(initial=0)) / scale


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("recorded", ["everything", "nothing"])
def test_the_steps_together_are_the_reference(options: dict, recorded: str) -> None:
    case = generate(1, **options)
    answers = reference(case).values
    graph = Graph(case)
    assert set(graph.steps) == set(answer_names(case)) == set(answers)
    replay = Replay(graph, answers if recorded == "everything" else {})
    for step in graph:
        assert distance(graph, step.name, replay(step.name), answers[step.name]) < 1e-12, step.name


def test_rewritten_rows_are_another_network_forward_and_backward() -> None:
    """The rows of all norms and activations as another dialect computes them: all answers are that dialect's."""
    case, other = generate(2), generate(2, numerics={"layer_norm_eps": 1e-3, "gelu": "tanh"})
    theirs, graph = Graph(other).arithmetic, Graph(case)
    rows = {}
    for name, row in graph.rows.items():
        if row.op in ("layer_norm", "activation"):
            parameters = {one.name: theirs.parameter(row, i) for i, one in enumerate(row.parameters)}
            rows[name] = Rewritten(theirs.forward(row), (theirs.backward(row, 0),), parameters)
    answers = reference(other).values
    replay, before = Replay(graph.rewritten(rows), {}), Replay(graph, {})
    assert distance(graph, "layer.1.output", before("layer.1.output"), answers["layer.1.output"]) > 1e-3
    for name in answers:
        if not name.startswith("update:"):
            assert distance(graph, name, replay(name), answers[name]) < 1e-12, name


@pytest.mark.parametrize("changed", ["embeddings.norm", "layer.1.ffn_act", "layer.1.output"])
def test_a_replay_on_other_steps_makes_what_they_bear_on_anew_and_nothing_else(changed: str) -> None:
    case, other = generate(2), generate(2, numerics={"layer_norm_eps": 1e-3, "gelu": "tanh"})
    graph, theirs = Graph(case), Graph(other).arithmetic
    row, recorded = graph.rows[changed], {"layer.0.attention_sum": reference(case).values["layer.0.attention_sum"]}
    back = {one.name: theirs.parameter(row, i) for i, one in enumerate(row.parameters)}
    after = graph.rewritten({changed: Rewritten(theirs.forward(row), (theirs.backward(row, 0),), back)})
    replay = Replay(graph, recorded)
    before = {step.name: replay(step.name) for step in graph}
    on, anew = replay.on(after), Replay(after, recorded)
    for step in after:
        assert np.array_equal(on(step.name), anew(step.name)), step.name
    spans = {name: span(after, name, recorded) for name in after.steps if name not in recorded}
    for name in ("embeddings.sum", "layer.1.query", "layer.1.attention_norm", "grad:layer.1.query"):
        assert (on.input(name) is replay.input(name)) == (not {changed, f"grad:{changed}"} & spans[name]), name
    assert np.array_equal(before["layer.1.output"], on("layer.1.output")) == (changed == "embeddings.norm")


def test_a_replay_on_other_steps_makes_everything_anew() -> None:
    case = generate(2)
    graph, answers = Graph(case), reference(case).values
    replay = Replay(graph, {"embeddings.sum": answers["embeddings.sum"]})
    right = replay("layer.0.query")
    zero = graph.rewritten({"embeddings.norm": Rewritten(Contribution(("embeddings.sum",), lambda x: 0 * x))})
    bias = case.params["bert.encoder.layer.0.attention.self.query.bias"]
    changed = replay.on(zero)("layer.0.query")
    assert distance(graph, "layer.0.query", changed, np.broadcast_to(bias, changed.shape)) < 1e-12
    assert distance(graph, "layer.0.query", replay("layer.0.query"), right) == 0


def test_a_step_follows_the_recorded_inputs() -> None:
    """One recorded value changed: its own step disagrees, those that read it follow, everything else stays."""
    case = generate(2)
    graph = Graph(case)
    answers = reference(case).values
    changed = {**answers, "layer.0.probs": answers["layer.0.probs"] * 1.01}
    replay = Replay(graph, changed)
    moved = {s.name for s in graph if distance(graph, s.name, replay(s.name), answers[s.name]) > 1e-9}
    assert moved == {s.name for s in graph if "layer.0.probs" in s.inputs}
    assert distance(graph, "layer.0.probs", changed["layer.0.probs"], replay("layer.0.probs")) > 1e-3


def test_garbage_on_padding_goes_nowhere() -> None:
    case = generate(3)
    graph = Graph(case)
    answers = reference(case).values
    spoilt = {}
    for name, value in answers.items():
        counts = graph.axes(name).counts
        spoilt[name] = value if counts is None else np.where(counts, value, np.nan)
    replay = Replay(graph, spoilt)
    for step in graph:
        assert distance(graph, step.name, replay(step.name), answers[step.name]) < 1e-12, step.name


def test_steps_stand_in_the_order_of_the_computation() -> None:
    done: set[str] = set()
    for step in Graph(generate(1)):
        assert set(step.inputs) <= done, step.name
        done.add(step.name)


def test_sources_are_the_nearest_recorded() -> None:
    graph = Graph(generate(1))
    some = {"embeddings.norm": 0, "layer.0.output": 0, "layer.1.output": 0}
    assert sources(graph, "layer.1.output", some) == (("layer.0.output",), False)
    assert sources(graph, "layer.1.query", some) == (("layer.0.output",), True)
    assert sources(graph, "embeddings.norm", some) == ((), False)


def as_model_case(case: Case) -> model_cases.Case:
    return model_cases.Case(case.config, case.numerics, case.params, case.batch)


@pytest.mark.parametrize("options", [{}, {"dialect": "google"}], ids=str)
def test_backward_steps_are_autograd_s(options: dict) -> None:
    """Every gradient step, from autograd's own upstream gradients and forward values, gives autograd's gradient."""
    case = generate(4, **options)
    graph = Graph(case)
    want = model_cases.expected(as_model_case(case))
    answers = reference(case).values
    recorded = {**answers}
    compared = 0
    for name, value in {**want.values, **want.grads}.items():
        if name in answers:
            recorded[name] = np.asarray(value).reshape(answers[name].shape)
            compared += name.startswith("grad:")
    assert compared >= len(case.params)
    replay = Replay(graph, recorded)
    for name in recorded:
        if name.startswith("grad:"):
            assert distance(graph, name, replay(name), recorded[name]) < 1e-10, name


@pytest.mark.parametrize("optimizer", ["google", "adamw", "lamb"])
def test_updates_piece_by_piece_are_the_updates(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = generate(3, optimizer=optimizer)
    names = [name for name in answer_names(case) if name.startswith("update:")]
    whole = reference(case, names).values
    monkeypatch.setattr("bertref.verify.judgement.reference.PIECE", 500)
    parts = reference(case, names).values
    for name in names:
        np.testing.assert_array_equal(parts[name], whole[name], name)
