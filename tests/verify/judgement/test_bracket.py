"""Which mistakes are known to be others, and what was judged."""

from bertref.verify.cases.case import generate
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.bracket import covered, explained
from bertref.verify.records import Finding

GRAPH = Graph(generate(21))


def found(**statuses: str) -> dict[str, Finding]:
    return {name.replace("__", "."): Finding(name.replace("__", "."), status) for name, status in statuses.items()}


def test_a_step_behind_two_wrong_tensors_may_be_the_mistake_of_both() -> None:
    """Nothing between layer 0's output and the logits and the pooled output is known; nor is what the two share."""
    findings = found(layer__0__output="right", mlm__logits="wrong", pooled="wrong")
    changed = explained(GRAPH, findings)
    first, second = [step.name for step in GRAPH if step.name in ("mlm.logits", "pooled")]
    assert {name: finding.explained_by for name, finding in changed.items()} == {second: first}


def test_what_shares_no_step_is_another_mistake() -> None:
    findings = found(layer__1__output="right", mlm__logits="wrong", pooled="wrong")
    assert explained(GRAPH, findings) == {}
    findings = found(layer__0__output="wrong", layer__1__output="wrong")
    assert explained(GRAPH, findings) == {}


def test_what_is_not_even_a_number_is_explained_by_its_inputs() -> None:
    findings = found(layer__0__ffn_pre="added", layer__0__ffn_act="not-finite", layer__0__ffn_output="not-finite")
    changed = explained(GRAPH, findings)
    assert {name: finding.explained_by for name, finding in changed.items()} == {
        "layer.0.ffn_act": "layer.0.ffn_pre", "layer.0.ffn_output": "layer.0.ffn_pre"}  # fmt: skip


def test_steps_are_judged_alone_or_together_or_not_at_all() -> None:
    found_ = found(embeddings__norm="right", layer__0__query="right", layer__0__key="right", layer__0__probs="right")
    parts = covered(GRAPH, found_)
    assert parts["alone"] == ("layer.0.query", "layer.0.key")
    assert parts["in_blocks"] == (
        "embeddings.word", "embeddings.position", "embeddings.token_type", "embeddings.sum", "embeddings.norm",
        "layer.0.scores", "layer.0.probs",
    )  # fmt: skip
    assert parts["not_judged"][0] == "layer.0.value"
    assert sum(map(len, parts.values())) == len(GRAPH.steps)
