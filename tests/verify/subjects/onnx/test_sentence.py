"""The vector of a text that a file of sentence-transformers gives is judged by the pooling of its folder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from onnxruntime.quantization import quantize_dynamic
from safetensors.torch import save_file
from torch import nn

from bertref.inference.sentence_transformers.pooling import MODES
from bertref.verify.report.words import explain

from .exported import changed, from_torch, hugging_face, statuses, verdict
from .test_outputs import keep, scale

Pool = Callable[[Any, Any], Any]
OUTPUTS = ("token_embeddings", "sentence_embedding")
STEPS = 33
"""The encoder's tensors."""


def mean(x: Any, mask: Any) -> Any:
    """x (B, S, H), mask (B, S, 1)."""
    return (x * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def last(x: Any, mask: Any) -> Any:
    at = mask.sum(1).long() - 1
    return torch.gather(x, 1, at[..., None].expand(-1, -1, x.shape[-1])).squeeze(1)


POOLS: dict[str, Pool] = {
    "cls": lambda x, mask: x[:, 0],
    "max": lambda x, mask: x.masked_fill(mask == 0, -1e9).max(1).values,
    "mean": mean,
    "mean_sqrt_len_tokens": lambda x, mask: (x * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt(),
    "weightedmean": lambda x, mask: mean(x, mask * torch.arange(1, x.shape[1] + 1)[None, :, None]),
    "lasttoken": last,
}  # fmt: skip


def length_1(x: Any) -> Any:
    return nn.functional.normalize(x, dim=-1)


class Sentences(nn.Module):
    """An encoder with a pooling, as sentence-transformers chains them."""

    def __init__(self, encoder: Any, pool: Pool, norm: Callable[[Any], Any]) -> None:
        super().__init__()
        self.encoder, self.pool, self.norm = encoder, pool, norm

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        found = self.encoder(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        x = found.last_hidden_state
        return x, self.norm(self.pool(x, attention_mask[..., None].to(x.dtype)))


def exported(
    path: Path, pool: Pool = mean, norm: Callable[[Any], Any] = length_1, *, dynamo: bool = False
) -> Path:  # fmt: skip
    return from_torch(path, Sentences(hugging_face().bert, pool, norm), dynamo=dynamo, outputs=OUTPUTS)


def recipe(
    folder: Path, mode: str | Sequence[str] = "mean", kinds: Sequence[str] = ("Transformer", "Pooling", "Normalize")
) -> None:
    """The files of sentence-transformers beside a model."""
    places = {"Transformer": ""} | {kind: f"{i}_{kind}" for i, kind in enumerate(kinds) if i}
    modules = [{"idx": i, "name": str(i), "path": places[kind], "type": f"sentence_transformers.models.{kind}"}
               for i, kind in enumerate(kinds)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": mode}), encoding="utf-8")


@pytest.fixture(scope="module")
def mean_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mean of length 1, with its recipe."""
    folder = tmp_path_factory.mktemp("sentences")
    recipe(folder)
    return exported(folder / "model.onnx")


def test_a_mean_of_length_1_is_right(mean_file: Path) -> None:
    report = verdict(mean_file)
    assert (report.verdict, report.notes, report.not_judged) == ("right", (), ()), explain(report)
    assert len(statuses(report)) == STEPS + 2
    assert statuses(report)["sentence.mean"] == "right", "it is seen inside"
    assert set(report.alone) == set(statuses(report))


@pytest.mark.parametrize("mode", MODES)
def test_every_pooling_is_judged(tmp_path: Path, mode: str) -> None:
    recipe(tmp_path, mode, ("Transformer", "Pooling"))
    path = exported(tmp_path / "model.onnx", POOLS[mode], lambda x: 1 * x)
    report = verdict(path)
    assert report.verdict == "right", explain(report)
    assert statuses(report)[f"sentence.{mode}"] == "right"
    wrong = verdict(changed(path, tmp_path / "wrong.onnx", lambda graph: scale(graph, OUTPUTS[1], 1.0001)))
    assert (wrong.verdict, wrong.first) == ("diverges", f"sentence.{mode}")


def joined(x: Any, mask: Any) -> Any:
    return torch.cat([POOLS["max"](x, mask), mean(x, mask)], dim=-1)


@pytest.mark.parametrize("norm", [length_1, lambda x: 1 * x], ids=["length 1", "as they are"])
def test_joined_poolings_are_judged(tmp_path: Path, norm: Callable[[Any], Any]) -> None:
    recipe(tmp_path, ["max", "mean"], ("Transformer", "Pooling", *(["Normalize"] if norm is length_1 else [])))
    report = verdict(exported(tmp_path / "model.onnx", joined, norm))
    assert (report.verdict, report.notes) == ("right", ()), explain(report)
    found = statuses(report)
    assert found["sentence.joined"] == "right"
    assert found.get("sentence.embedding") == ("right" if norm is length_1 else None)
    turned = verdict(exported(tmp_path / "wrong.onnx", lambda x, mask: joined(x, mask).flip(-1), norm))
    assert (turned.verdict, turned.first) == ("diverges", "sentence.joined")


class Dense(nn.Module):
    """A dense layer of sentence-transformers on the vector."""

    def __init__(self, activation: Callable[[Any], Any]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.linear, self.activation = nn.Linear(48, 20), activation

    def forward(self, x: Any) -> Any:
        return length_1(self.activation(self.linear(x)))


def dense_recipe(path: Path, kind: str, layer: Dense) -> None:
    recipe(path, "mean", ("Transformer", "Pooling", "Dense", "Normalize"))
    folder = path / "2_Dense"
    folder.mkdir()
    settings = {"in_features": 48, "out_features": 20, "bias": True,
                "activation_function": f"torch.nn.modules.activation.{kind}"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    save_file({f"linear.{name}": value.detach() for name, value in layer.linear.named_parameters()},
              str(folder / "model.safetensors"))  # fmt: skip


@pytest.mark.parametrize(("kind", "function"), [("Tanh", torch.tanh), ("Identity", lambda x: x), ("ReLU", torch.relu)])
def test_a_dense_layer_is_judged(tmp_path: Path, kind: str, function: Callable[[Any], Any]) -> None:
    layer = Dense(function)
    dense_recipe(tmp_path, kind, layer)
    report = verdict(exported(tmp_path / "model.onnx", norm=layer))
    assert (report.verdict, report.notes) == ("right", ()), explain(report)
    found = statuses(report)
    assert (found["sentence.dense.0"], found["sentence.embedding"]) == ("right", "right")
    with torch.no_grad():
        layer.linear.weight[3] *= 1.001
    wrong = verdict(exported(tmp_path / "wrong.onnx", norm=layer))
    assert (wrong.verdict, wrong.first) == ("diverges", "sentence.dense.0"), explain(wrong)


def test_a_dense_layer_in_integers_is_not_judged(tmp_path: Path) -> None:
    """Nor called wrong."""
    layer = Dense(torch.tanh)
    dense_recipe(tmp_path, "Tanh", layer)
    exported(tmp_path / "plain.onnx", norm=layer)
    quantize_dynamic(str(tmp_path / "plain.onnx"), str(tmp_path / "model.onnx"), op_types_to_quantize=["MatMul"])
    report = verdict(tmp_path / "model.onnx")
    assert report.verdict == "right", explain(report)
    assert (statuses(report)["sentence.dense.0"], statuses(report)["sentence.embedding"]) == ("unjudged", "right")


@pytest.mark.parametrize(
    ("wrong", "first"),
    [
        ({"pool": lambda x, mask: x.mean(1)}, "sentence.mean"),
        ({"pool": POOLS["cls"]}, "sentence.mean"),
        ({"norm": lambda x: 1 * x}, "sentence.embedding"),
        ({"norm": lambda x: x / x.abs().sum(-1, keepdim=True)}, "sentence.embedding"),
    ],
    ids=["padding in the mean", "the first token", "no length taken out", "another norm"],
)
def test_a_wrong_vector_is_found(tmp_path: Path, wrong: dict[str, Any], first: str) -> None:
    recipe(tmp_path)
    report = verdict(exported(tmp_path / "model.onnx", **wrong))
    assert (report.verdict, report.first) == ("diverges", first), explain(report)
    assert statuses(report)["layer.1.output"] == "right"


def test_the_newer_exporter(tmp_path: Path) -> None:
    recipe(tmp_path)
    report = verdict(exported(tmp_path / "model.onnx", dynamo=True))
    assert (report.verdict, set(report.alone)) == ("right", set(statuses(report))), explain(report)


# ---------------------------------------------------------------------------------------------------------------------
# where it isn't known


def without_recipe(path: Path, to: Path) -> Path:
    to.mkdir()
    (to / "config.json").write_text((path.parent / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    return changed(path, to / "model.onnx", lambda graph: None)


def test_without_a_recipe_it_is_said_what_is_missing(mean_file: Path, tmp_path: Path) -> None:
    path = without_recipe(mean_file, tmp_path / "bare")
    report = verdict(path)
    assert report.verdict == "right", "the vectors of the tokens are"
    assert len(statuses(report)) > STEPS
    assert not any(name.startswith("sentence.") for name in statuses(report))
    assert [note for note in report.notes if "how it is pooled isn't known" in note and "--model" in note]
    only = changed(path, path.parent / "only.onnx", lambda graph: keep(graph, OUTPUTS[1]))
    assert verdict(only).verdict == "could not run"
    named = verdict(path, mean_file.parent)
    assert (named.verdict, named.notes) == ("right", ())


@pytest.mark.parametrize(
    ("mode", "kinds", "words"),
    [
        ("mean", ("Transformer", "Pooling", "LayerNorm"), "LayerNorm can't be followed"),
        (["mean", "mean"], ("Transformer", "Pooling"), "one pooling twice"),
    ],
)
def test_a_recipe_that_is_not_judged_is_named(
    mean_file: Path, tmp_path: Path, mode: Any, kinds: tuple[str, ...], words: str
) -> None:
    path = without_recipe(mean_file, tmp_path / "other")
    recipe(path.parent, mode, kinds)
    assert any(words in note and "sentence_embedding" in note for note in verdict(path).notes)


def test_another_question_can_be_asked(mean_file: Path) -> None:
    """Of the encoder alone, or of the vector as a head, whose way back no file has."""
    from bertref.verify.checking import check
    from bertref.verify.meant import case_for
    from bertref.verify.subjects.onnx import OnnxSubject

    subject = OnnxSubject(mean_file)
    for head in ("encoder", "sentence_embedding"):
        report = check(subject, case_for(subject, 1, head=head), repeat=False)
        assert report.verdict == "right", explain(report)
        assert ("sentence.embedding" in statuses(report)) == (head == "sentence_embedding")
