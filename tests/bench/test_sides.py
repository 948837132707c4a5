"""Every contestant answers with the same figures as ours, and does its work; in this process, at tiny sizes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.bench import PEERS, Job, agreement, inputs
from bertref.bench.race import arena
from bertref.bench.sides import STEP, make_side
from bertref.checkpoint import load_model, save_weights
from bertref.errors import BackendUnavailable, InputError
from bertref.train import loop
from bertref.train.finetuning import setup
from tests.bench import small

PAIRS = [(command, peer) for command, peers in PEERS.items() for peer in peers]


def sides(job: Job, peer: str, folder: Path) -> tuple[Any, Any]:
    own = replace(job, folder=str(folder))
    return make_side(own), make_side(own.of(peer))


def text(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "text.txt"
    path.write_text("The river carries a stone.\nA letter hides the clock.\n\nHer brother finds it.\n" * 20, "utf-8")
    return (str(path),)


def made(tmp_path: Path, command: str, **changes: Any) -> Job:
    if command in ("tokenize", "prepare"):
        return Job(command, corpus=text(tmp_path), **changes)
    return small.job(tmp_path, command, **changes)


@pytest.mark.parametrize(("command", "peer"), PAIRS, ids=[f"{c}-{p}" for c, p in PAIRS])
def test_the_peer_computes_the_same_and_does_the_work(tmp_path: Path, command: str, peer: str) -> None:
    job = made(tmp_path, command)
    with arena(job) as folder:
        ours, theirs = sides(job, peer, folder)
        limit = 0.0 if command in ("tokenize", "prepare") else 1e-4
        found = agreement.check(ours.figures(), theirs.figures(), peer, limit)
        assert found
        assert tuple(ours.units) == tuple(theirs.units)
        for unit in ours.units:
            ours.run(unit)
            theirs.run(unit)
        assert {"name", "version"} <= set(theirs.about)
        json.dumps([ours.about, theirs.about])


@pytest.mark.parametrize(
    ("command", "peer"), [("pretrain", "transformers"), ("pretrain", "torch"), ("finetune", "transformers"),
                          ("encode", "onnxruntime"), ("encode", "torch"), ("encode", "transformers")],
)  # fmt: skip
def test_ragged_input_agrees(tmp_path: Path, command: str, peer: str) -> None:
    job = small.job(tmp_path, command, ragged="squad", seq_len=24)
    with arena(job) as folder:
        ours, theirs = sides(job, peer, folder)
        agreement.check(ours.figures(), theirs.figures(), peer, 1e-4)
        ours.run(STEP)
        theirs.run(STEP)


ONE_SEGMENT: dict[str, dict[str, Any]] = {
    "roberta": {"type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 40},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
}


@pytest.mark.parametrize("peer", ["transformers", "onnxruntime"])
@pytest.mark.parametrize("variant", ONE_SEGMENT)
def test_networks_without_a_second_segment_predict(tmp_path: Path, variant: str, peer: str) -> None:
    changes = {"model_type": variant, "vocab_size": 300, **ONE_SEGMENT[variant]}
    (tmp_path / "variant.json").write_text(json.dumps(changes if variant == "distilbert" else small.CONFIG | changes))
    job = small.job(tmp_path, "predict", config=str(tmp_path / "variant.json"), ragged="squad", seq_len=24)
    with arena(job) as folder:
        ours, theirs = sides(job, peer, folder)
        agreement.check(ours.figures(), theirs.figures(), peer, 1e-4)
        ours.run(STEP)
        theirs.run(STEP)


def test_work_with_a_second_segment_is_refused_for_a_network_that_has_none(tmp_path: Path) -> None:
    (tmp_path / "variant.json").write_text(json.dumps(small.CONFIG | {"model_type": "roberta", "type_vocab_size": 1}))
    with pytest.raises(InputError, match=r"bench pretrain needs two segments; predict does without"):
        inputs.architecture_of(small.job(tmp_path, config=str(tmp_path / "variant.json")))


@pytest.mark.parametrize("peer", ["transformers", "torch"])
@pytest.mark.parametrize(
    "name",
    ["bert.encoder.layer.1.output.dense.bias", "bert.encoder.layer.0.attention.self.value.weight",
     "cls.predictions.transform.LayerNorm.weight", "bert.pooler.dense.weight"],
)  # fmt: skip
def test_a_peer_with_a_wrong_weight_is_refused(tmp_path: Path, peer: str, name: str) -> None:
    """One parameter of the peer's model is a tenth off."""
    job = small.job(tmp_path)
    with arena(job) as folder:
        ours = make_side(replace(job, folder=str(folder)))
        params = load_model(folder / "model").params
        save_weights(folder / "model", {**params, name: params[name] * np.float32(1.1)})
        theirs = make_side(replace(job, folder=str(folder)).of(peer))
        with pytest.raises(InputError, match="does not compute the same"):
            agreement.check(ours.figures(), theirs.figures(), peer)


@pytest.mark.parametrize(
    ("mix", "name"),
    [("squad", "qa_outputs.weight"), ("squad", "bert.embeddings.token_type_embeddings.weight"),
     ("squad", "bert.encoder.layer.1.output.LayerNorm.weight"), ("imdb", "classifier.weight"),
     ("imdb", "bert.pooler.dense.weight")],
)  # fmt: skip
def test_a_peer_that_is_fine_tuned_from_a_wrong_weight_is_refused(tmp_path: Path, mix: str, name: str) -> None:
    job = small.job(tmp_path, "finetune", ragged=mix, seq_len=24)
    with arena(job) as folder:
        ours, theirs = sides(job, "transformers", folder)
        agreement.check(ours.figures(), theirs.figures(), "transformers", 1e-4)
        dict(theirs.model.named_parameters())[name].data.mul_(1.01)
        with pytest.raises(InputError, match="does not compute the same"):
            agreement.check(ours.figures(), theirs.figures(), "transformers")


def test_a_peer_that_reads_padding_is_refused(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("".join("word " * count + "\n" for count in (5, 30, 12)), encoding="utf-8")
    job = small.job(tmp_path, "finetune", ragged=str(lines), seq_len=40)
    with arena(job) as folder:
        ours, theirs = sides(job, "transformers", folder)
        theirs.compared["attention_mask"].fill_(1)
        with pytest.raises(InputError, match="does not compute the same"):
            agreement.check(ours.figures(), theirs.figures(), "transformers")


@pytest.mark.parametrize("mix", ["squad-windows", "imdb"])
def test_both_are_fine_tuned_by_the_recipe_of_a_run(tmp_path: Path, mix: str) -> None:
    job = small.job(tmp_path, "finetune", ragged=mix)
    with arena(job) as folder:
        ours, theirs = sides(job, "transformers", folder)
    recipe, trainer = ours.recipe, theirs.trainer
    assert recipe.packed
    assert (recipe.optimizer.kind, recipe.optimizer.weight_decay) == ("adamw", 0.01)
    assert (trainer.rule, trainer.schedule, trainer.clip_norm) == (recipe.optimizer, recipe.schedule, recipe.clip_norm)
    assert recipe.settings.config.hidden_dropout_prob == theirs.model.config.hidden_dropout_prob == 0.1
    assert set(recipe.rate_scales.values()) <= {1.0}
    assert type(theirs.model).__name__ == inputs.class_of(job)


def test_a_peer_that_drops_its_biases_is_refused(tmp_path: Path) -> None:
    job = small.job(tmp_path, "encode")
    with arena(job) as folder:
        ours, theirs = sides(job, "transformers", folder)
        theirs.model.encoder.layer[0].attention.self.query.bias.data.zero_()
        with pytest.raises(InputError, match="vector of text"):
            agreement.check(ours.figures(), theirs.figures(), "transformers")


def test_what_is_timed_is_the_step_of_a_run() -> None:
    from bertref.bench.sides import ours

    assert ours.Stepper is loop.Stepper
    assert ours.finetuning_recipe is setup.recipe_of


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_a_step_of_ours_learns_with_dropout_and_counts_on(tmp_path: Path, command: str) -> None:
    job = small.job(tmp_path, command)
    with arena(job) as folder:
        side: Any = make_side(replace(job, folder=str(folder)))
        assert side.recipe.settings.config.hidden_dropout_prob == 0.1
        assert side.recipe.clip_norm == 1.0
        before = side.figures()["loss"]
        for _ in range(60):
            side.run(STEP)
        assert side.state.step == 60
        assert side.figures()["loss"] < before


@pytest.mark.parametrize(
    ("command", "peer"), [("pretrain", "transformers"), ("pretrain", "torch"), ("finetune", "transformers")]
)
def test_a_step_of_the_peer_learns(tmp_path: Path, command: str, peer: str) -> None:
    job = small.job(tmp_path, command)
    with arena(job) as folder:
        side: Any = make_side(replace(job, folder=str(folder)).of(peer))
        assert side.model.training
        side.run(STEP)  # tries the optimisers, too; and the first rate of the warm-up is 0
        before = side.figures()["loss"]
        for _ in range(60):
            side.run(STEP)
        assert side.model.training
        assert side.figures()["loss"] < before
        assert side.about["optimizer"] in ("AdamW fused", "AdamW foreach")


def test_weight_decay_is_the_same_for_all(tmp_path: Path) -> None:
    """The plain torch model has other names; the parameters that decay are the same number of numbers."""
    job = small.job(tmp_path)
    with arena(job) as folder:
        ours, theirs = sides(job, "torch", folder)
        decayed = sum(a.size for name, a in ours.state.params.items() if ours.recipe.optimizer.decays(name))
        assert decayed == sum(p.numel() for name, p in theirs.model.named_parameters() if theirs.decays(name))


@pytest.mark.parametrize(("command", "peer"), [("pretrain", "transformers"), ("encode", "torch"), ("ops", "torch")])
def test_under_autocast_the_check_is_in_float32(tmp_path: Path, command: str, peer: str) -> None:
    job = small.job(tmp_path, command, peer_dtype="bfloat16")
    with arena(job) as folder:
        ours, theirs = sides(job, peer, folder)
        agreement.check(ours.figures(), theirs.figures(), peer, 1e-4)
        theirs.run(theirs.units[0])
        assert theirs.about["dtype"] == "bfloat16"


@pytest.mark.parametrize("dtype", ["float64", "mixed-bfloat16", "mixed_bfloat16"])
def test_ours_in_another_type(tmp_path: Path, dtype: str) -> None:
    job = small.job(tmp_path, dtype=dtype, backend="torch")
    with arena(job) as folder:
        ours, theirs = sides(job, "torch", folder)
        limit = agreement.HALF_LIMIT if "bfloat16" in dtype else agreement.LIMIT
        agreement.check(ours.figures(), theirs.figures(), "torch", limit)
        ours.run(STEP)


def test_the_fused_graph_answers_as_the_exported_one(tmp_path: Path) -> None:
    """Both files that ONNX Runtime is offered, on ragged sequences."""
    job = small.job(tmp_path, "encode", ragged="squad", seq_len=24)
    with arena(job) as folder:
        ours, theirs = sides(job, "onnxruntime", folder)
        assert set(theirs.about["tried"]) == {"as exported", "fused operators"}
        for name in ("encode.onnx", "encode-fused.onnx"):
            theirs.session = theirs._open(folder / name)
            agreement.check(ours.figures(), theirs.figures(), name, 1e-4)


def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertref.bench.sides import libraries

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(libraries.importlib, "import_module", missing)
    with pytest.raises(BackendUnavailable, match=r"onnxruntime is not installed; pip install 'bertref\[onnx\]'"):
        libraries.library("onnxruntime")


def test_the_readable_tokenizer_is_the_slow_one_with_the_same_ids(tmp_path: Path) -> None:
    from bertref.bench.sides.ours_text import ReadableTokenizer
    from bertref.text import Tokenizer

    vocab = inputs.vocabulary(200)
    texts = ["aaaa aaab, unknown", "", "AAAC"]
    for a, b in zip(ReadableTokenizer(vocab).ids_arrays(texts), Tokenizer(vocab).ids_arrays(texts), strict=True):
        assert np.array_equal(a, b)
