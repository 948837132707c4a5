"""A file's own outputs are judged, whatever they are called and whichever head they belong to."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from .exported import changed, own, statuses, verdict

TASKS = {
    "sequence_classification": ("logits",),
    "token_classification": ("logits",),
    "multiple_choice": ("logits",),
    "question_answering": ("start_logits", "end_logits"),
}
ANSWERS = dict.fromkeys(TASKS, "classifier.logits") | {"question_answering": "qa.logits"}


def keep(graph: Any, *names: str) -> None:
    """Only these outputs."""
    kept = [value for value in graph.output if value.name in names]
    del graph.output[:]
    graph.output.extend(kept)


def scale(graph: Any, name: str, by: float) -> None:
    """Multiplies an output."""
    for node in graph.node:
        node.output[:] = [one + "/before" if one == name else one for one in node.output]
        node.input[:] = [one + "/before" if one == name else one for one in node.input]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(by, np.float32), "by"))
    graph.node.append(onnx.helper.make_node("Mul", [name + "/before", "by"], [name]))


def rename(graph: Any, names: dict[str, str]) -> None:
    """Other names for outputs."""
    for value in graph.output:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.output[:] = [names.get(one, one) for one in node.output]
        node.input[:] = [names.get(one, one) for one in node.input]


@pytest.mark.parametrize("head", TASKS)
def test_every_head_is_judged(tmp_path: Path, head: str) -> None:
    path = own(tmp_path / "model.onnx", (head,))
    report = verdict(path)
    assert report.verdict == "right", report
    assert statuses(report)[ANSWERS[head]] == "right"
    assert not report.notes


@pytest.mark.parametrize("head", TASKS)
def test_a_wrong_output_is_found(tmp_path: Path, head: str) -> None:
    path = own(tmp_path / "model.onnx", (head,))
    output = TASKS[head][-1]
    report = verdict(changed(path, tmp_path / "wrong.onnx", lambda graph: scale(graph, output, 1.0001)))
    assert (report.verdict, report.first) == ("diverges", ANSWERS[head])


@pytest.mark.parametrize("head", ["token_classification", "question_answering"])
def test_outputs_are_known_by_what_they_compute(tmp_path: Path, head: str) -> None:
    path = own(tmp_path / "model.onnx", (head,))

    def change(graph: Any) -> None:
        keep(graph, *TASKS[head])
        rename(graph, {name: f"y{i}" for i, name in enumerate(TASKS[head])})

    report = verdict(changed(path, tmp_path / "renamed.onnx", change))
    assert report.verdict == "right"
    assert statuses(report)[ANSWERS[head]] == "right"
    assert not report.notes


def test_token_embeddings_are_the_last_layer(tmp_path: Path) -> None:
    path = own(tmp_path / "model.onnx", ("pretraining",))

    def change(graph: Any) -> None:
        keep(graph, "last_hidden_state")
        rename(graph, {"last_hidden_state": "token_embeddings"})

    report = verdict(changed(path, tmp_path / "renamed.onnx", change))
    assert report.verdict == "right"
    assert not report.notes


def test_an_output_that_is_not_judged_is_listed(tmp_path: Path) -> None:
    path = own(tmp_path / "model.onnx", ("pretraining",))

    def change(graph: Any) -> None:
        rename(graph, {"pooler_output": "similarity"})
        scale(graph, "similarity", 2.0)

    report = verdict(changed(path, tmp_path / "other.onnx", change))
    assert report.verdict == "right"
    assert report.notes == ("not judged, because what they compute isn't known: the file's outputs similarity",)


def test_nothing_is_right_without_a_judged_output(tmp_path: Path) -> None:
    path = own(tmp_path / "model.onnx", ("pretraining",))

    def change(graph: Any) -> None:
        keep(graph, "pooler_output")
        rename(graph, {"pooler_output": "similarity"})
        scale(graph, "similarity", 2.0)

    report = verdict(changed(path, tmp_path / "other.onnx", change))
    assert report.verdict == "could not run"
    assert statuses(report)["pooled"] == "right", "what is inside is looked at all the same"
    assert any("none of its own outputs" in note for note in report.notes)
