"""Conversions: nothing is lost on the way there and back, and a proof that can fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertref.checkpoint import load_model
from bertref.checkpoint.names import BIAS, DECODER_BIAS, WORDS
from bertref.checkpoint.training import save_state
from bertref.convert import convert
from bertref.convert.proof import LIMIT, ours, prove, random_batch, ratios
from bertref.errors import CheckpointError, InputError
from bertref.heads import DECODER

from ..checkpoint.test_folder import make
from ..checkpoint.test_load import Arrays, assert_params, change, drop, edit_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "model", dtype="float32")
    return tmp_path / "model"


def bits(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_original_there_and_back_is_the_same_bytes(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "weights" / "keras_bert_toy_tf_checkpoint"
    convert(source, tmp_path / "hf", optimizer=True, check=True)
    convert(tmp_path / "hf", tmp_path / "tf", to="tensorflow", optimizer=True)
    for name in ("bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"):
        assert (tmp_path / "tf" / name).read_bytes() == (source / name).read_bytes(), name


def test_moments_that_the_original_has_no_place_for_are_refused(folder: Path, tmp_path: Path) -> None:
    """Of an optimiser with one moment; into a folder of Hugging Face's they go."""
    moments = {f"{name}/m": array for name, array in load_model(folder).params.items()}
    save_state(folder, moments, 7)
    with pytest.raises(CheckpointError, match="Adam's two moments, and this state has only m; leave --optimizer out"):
        convert(folder, tmp_path / "tf", to="tensorflow", optimizer=True)
    convert(folder, tmp_path / "hf", optimizer=True)
    assert load_model(tmp_path / "hf", optimizer=True).moments.keys() == moments.keys()


@pytest.mark.parametrize("dialect", ["google", "huggingface"])
def test_hugging_face_there_and_back_is_the_same_bytes(tmp_path: Path, dialect: str) -> None:
    make(tmp_path / "model", dialect=dialect, dtype="float32")
    convert(tmp_path / "model", tmp_path / "tf", to="tensorflow")
    convert(tmp_path / "tf" / "bert_model.ckpt", tmp_path / "again")
    assert load_model(tmp_path / "tf").numerics == load_model(tmp_path / "model").numerics
    assert bits(tmp_path / "again") == bits(tmp_path / "model")


HEADS = {
    "BertForMaskedLM": ["masked_lm"],
    "BertForNextSentencePrediction": ["next_sentence"],
    "BertForSequenceClassification": ["sequence_classification"],
    "BertForMultipleChoice": ["multiple_choice"],
    "BertForTokenClassification": ["token_classification"],
    "BertForQuestionAnswering": ["question_answering"],
    "BertModel": [],
}


def with_head(folder: Path, architecture: str) -> None:
    """Makes the pre-training model in a folder one of another class."""

    def edit(arrays: Arrays) -> None:
        keep = {"BertForMaskedLM": "cls.predictions", "BertForNextSentencePrediction": "cls.seq_relationship"}
        pooled = architecture not in ("BertForMaskedLM", "BertForTokenClassification", "BertForQuestionAnswering")
        for name in list(arrays):
            lost = name.startswith("cls.") and not name.startswith(keep.get(architecture, "-"))
            if lost or ("pooler" in name and not pooled):
                del arrays[name]
        rows = {"BertForSequenceClassification": 3, "BertForTokenClassification": 5, "BertForMultipleChoice": 1}
        head = "qa_outputs" if architecture == "BertForQuestionAnswering" else "classifier"
        if architecture in rows or head == "qa_outputs":
            random = np.random.default_rng(0)
            arrays[f"{head}.weight"] = random.normal(size=(rows.get(architecture, 2), 24)).astype(np.float32)
            arrays[f"{head}.bias"] = random.normal(size=rows.get(architecture, 2)).astype(np.float32)

    change(folder, edit)
    labels = {"BertForSequenceClassification": 3, "BertForTokenClassification": 5}.get(architecture, 0)
    edit_config(folder, architectures=[architecture])
    if labels:
        edit_config(folder, id2label={str(i): f"L{i}" for i in range(labels)})


@pytest.mark.parametrize("architecture", HEADS)
def test_every_head_is_proved_in_every_format(folder: Path, tmp_path: Path, architecture: str) -> None:
    with_head(folder, architecture)
    params = load_model(folder).params
    there = convert(folder, tmp_path / "hf", check=True)
    assert list(there.model.heads) == HEADS[architecture]
    assert [proof.reader for proof in there.proofs] == ["transformers", "transformers"]
    recorded = convert(tmp_path / "hf", tmp_path / "model.onnx", check=True)
    assert [proof.reader for proof in recorded.proofs] == ["transformers", "onnxruntime"]
    for proof in (*there.proofs, *recorded.proofs):
        assert proof.holds, proof
        assert len(proof.ratios) >= (1 if architecture == "BertModel" else 2)
    convert(tmp_path / "hf", tmp_path / "tf", to="tensorflow")
    back = load_model(tmp_path / "tf")
    assert_params(back.params, params)
    assert back.labels == there.model.labels


def test_a_decoder_of_its_own(folder: Path, tmp_path: Path) -> None:
    change(folder, lambda a: a.update({DECODER: a[WORDS] * np.float32(1.5), DECODER_BIAS: a[BIAS] - np.float32(1)}))
    edit_config(folder, tie_word_embeddings=False)
    there = convert(folder, tmp_path / "hf", check=True)
    assert there.proved, there.proofs
    assert_params(load_model(tmp_path / "hf").params, load_model(folder).params)
    assert convert(folder, tmp_path / "m.onnx", check=True).proved
    with pytest.raises(CheckpointError, match="the original has only the tied decoder"):
        convert(folder, tmp_path / "tf", to="tensorflow")
    assert not (tmp_path / "tf").exists()


def test_what_the_loader_got_wrong_fails_the_proof(folder: Path, tmp_path: Path) -> None:
    """A square weight that was turned by mistake has the right name and shape: only numbers tell."""
    saved = load_model(folder)
    for edit in (
        {"params": {**saved.params, "bert.encoder.layer.1.attention.output.dense.weight":
                    saved.params["bert.encoder.layer.1.attention.output.dense.weight"].T}},
        {"params": {**saved.params, WORDS: saved.params[WORDS][::-1]}},
        {"numerics": replace(saved.numerics, gelu="tanh")},
        {"numerics": replace(saved.numerics, layer_norm_eps=1e-5)},
    ):  # fmt: skip
        proofs, *_ = prove(replace(saved, **edit), folder, "huggingface")
        assert all(proof.worst > 3 * LIMIT and not proof.holds for proof in proofs)
        assert len(proofs) == 2


def test_a_reader_that_is_missing_proves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = convert(folder, tmp_path / "m.onnx", check=True)
    assert not done.proofs
    assert [reason.split(":")[0] for reason in done.unproved] == [
        "not proved by transformers", "not proved by onnxruntime"
    ]  # fmt: skip
    assert not convert(folder, tmp_path / "hf").unproved


def test_rounding_is_the_unit(folder: Path) -> None:
    saved = load_model(folder)
    batch = random_batch(saved)
    exact, rounded = ours(saved, batch, "float64"), ours(saved, batch, "float32")
    mask = batch["attention_mask"]
    assert set(ratios(rounded, exact, rounded, mask).values()) == {1.0}
    assert max(ratios(exact, exact, rounded, mask).values()) == 0
    garbage = {k: np.where(mask[..., None] != 0, v, 7) if v.ndim == 3 else v for k, v in rounded.items()}
    assert set(ratios(garbage, exact, rounded, mask).values()) == {1.0}, "padding does not count"
    other = {name: value[:1] for name, value in rounded.items()}
    assert set(ratios(other, exact, rounded, mask).values()) == {float("inf")}
    assert ratios({"pooler_output": exact["pooler_output"] * np.nan}, exact, rounded, mask)["pooler_output"] > 1e300


def test_what_can_not_be_converted_is_said_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there: exists already"):
        convert(folder, tmp_path / "there")
    with pytest.raises(InputError, match="holds no optimiser state"):
        convert(folder, tmp_path / "m.onnx", optimizer=True)
    with pytest.raises(CheckpointError, match="holds no optimiser state"):
        convert(folder, tmp_path / "out", optimizer=True)
    with pytest.raises(InputError, match="no format 'keras'"):
        convert(folder, tmp_path / "out", to="keras")  # type: ignore[arg-type]
    change(folder, drop("seq_relationship.bias"))
    with pytest.raises(CheckpointError, match="1 missing"):
        convert(folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "there"]
