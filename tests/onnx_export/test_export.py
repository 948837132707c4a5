"""The file answers what the model answers, for every head, dialect, shape, type and probe."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bertref.checkpoint import load_model
from bertref.config import BertConfig, Numerics
from bertref.errors import InputError
from bertref.heads import DECODER
from bertref.onnx_export import export

from ..model_cases import error, small_config
from .exported import HEADS, LABELS, SIZES, batch, check, expected, named, probes_of, run, units, weights

DIALECTS = pytest.mark.parametrize("dialect", ["google", "huggingface"])


@DIALECTS
@pytest.mark.parametrize("heads", HEADS, ids=named)
def test_every_head_at_every_size(heads: tuple[str, ...], dialect: str, tmp_path: Path) -> None:
    """One file serves batches of any number and length; rows of nothing but padding included."""
    config, numerics = small_config(2), Numerics.preset(dialect)
    params = weights(config, heads)
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads)
    for lengths in SIZES:
        arrays = batch(config, lengths)
        check(run(path, arrays), expected(params, config, numerics, arrays, heads))


@DIALECTS
@pytest.mark.parametrize(
    ("heads", "layers"),
    [*((heads, 1) for heads in HEADS), (("pretraining",), 0), (("pretraining",), 3)],
    ids=lambda value: str(value) if isinstance(value, int) else named(value),
)
def test_every_probe(heads: tuple[str, ...], layers: int, dialect: str, tmp_path: Path) -> None:
    config, numerics = small_config(layers), Numerics.preset(dialect)
    params, probes = weights(config, heads), probes_of(config, heads)
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads, probes=probes)
    arrays = batch(config, (11, 7, 3, 9))
    got = run(path, arrays)
    assert set(probes) <= set(got)
    check(got, expected(params, config, numerics, arrays, heads, probes))


@pytest.mark.parametrize(
    "changes",
    [
        {"mask_value": -math.inf},
        {"mask_value": -1e9},
        {"scale_scores": "query"},
        {"layer_norm_eps": 1e-3},
        {"gelu": "tanh"},
        {"hidden_act": "relu"},
        {"hidden_act": "tanh"},
        {"type_vocab_size": 1},
        {"num_attention_heads": 1},
    ],
    ids=str,
)
def test_every_setting_is_in_the_file(changes: dict[str, Any], tmp_path: Path) -> None:
    """Each setting changes the numbers of the file as it changes the model's (a row of padding shows the mask)."""
    numbers = {name: value for name, value in changes.items() if name in Numerics.__dataclass_fields__}
    numerics = replace(Numerics(), **numbers)
    config = small_config(2, **{name: value for name, value in changes.items() if name not in numbers})
    heads = ("pretraining",)
    params, arrays = weights(config, heads), batch(config, (11, 0, 3))
    probes = probes_of(config, heads)
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads, probes=probes)
    check(run(path, arrays), expected(params, config, numerics, arrays, heads, probes))


@DIALECTS
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float16", 1e-2)])
def test_other_types(dtype: str, tolerance: float, dialect: str, tmp_path: Path) -> None:
    """float64 is float64 throughout (erf as well, for which onnxruntime has no kernel)."""
    config, numerics, heads = small_config(2), Numerics.preset(dialect), ("pretraining",)
    params, arrays = weights(config, heads, dtype="float64"), batch(config, (11, 7, 3, 9))
    probes = probes_of(config, heads)
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads, probes=probes, dtype=dtype)
    got = run(path, arrays)
    assert {str(array.dtype) for array in got.values()} == {dtype}
    check(got, expected(params, config, numerics, arrays, heads, probes, dtype="float64"), tolerance)


@pytest.mark.parametrize("level", ["DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL"])
def test_no_optimisation_breaks_it(level: str, tmp_path: Path) -> None:
    config, heads = small_config(2), ("pretraining",)
    for numerics in (Numerics(), Numerics.preset("google"), Numerics(mask_value=-math.inf)):
        params, arrays = weights(config, heads), batch(config, (6, 0, 3))
        path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        got = dict(zip(names, session.run(names, arrays), strict=True))
        check(got, expected(params, config, numerics, arrays, heads))


def test_heads_by_hand(tmp_path: Path) -> None:
    """Which output belongs to which row of which weight, from the last hidden state, without the model's code."""
    heads = ("sequence_classification", "question_answering")
    config, numerics = small_config(1), Numerics()
    params, arrays = weights(config, heads), batch(config, (11, 7))
    got = run(export(params, config, numerics, tmp_path / "model.onnx", heads=heads), arrays)
    x = got["last_hidden_state"]
    pooled = np.tanh(x[:, 0] @ params["bert.pooler.dense.weight"].T + params["bert.pooler.dense.bias"])
    assert error(got["pooler_output"], pooled) < 2e-6
    assert error(got["logits"], pooled @ params["classifier.weight"].T + params["classifier.bias"]) < 2e-6
    for row, name in enumerate(("start_logits", "end_logits")):
        by_hand = x @ params["qa_outputs.weight"][row] + params["qa_outputs.bias"][row]
        assert error(got[name], by_hand) < 2e-6


def test_a_decoder_of_its_own(tmp_path: Path) -> None:
    config, heads, numerics = small_config(1), ("masked_lm",), Numerics()
    table = np.random.default_rng(1).normal(0, 0.2, (config.vocab_size, config.hidden_size)).astype(np.float32)
    params, arrays = {**weights(config, heads), DECODER: table}, batch(config, (11, 7))
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads)
    got = run(path, arrays)
    check(got, expected(params, config, numerics, arrays, heads))
    tied = export(weights(config, heads), config, numerics, tmp_path / "tied.onnx", heads=heads)
    assert error(run(tied, arrays)["prediction_logits"], got["prediction_logits"]) > 0.1


def test_padding_is_not_read(tmp_path: Path) -> None:
    """The tokens' vectors do not depend on how much padding follows them or on what it holds."""
    config, params = small_config(2), weights(small_config(2), ())
    path = export(params, config, Numerics(), tmp_path / "model.onnx", heads=())
    narrow = batch(config, (5, 3))
    wide = {name: np.concatenate([array, np.full((2, 4), name == "input_ids")], 1) for name, array in narrow.items()}
    short, long = (run(path, arrays)["last_hidden_state"] for arrays in (narrow, wide))
    assert error(long[0, :5], short[0, :5]) < 2e-6
    assert error(long[1, :3], short[1, :3]) < 2e-6


def test_real_weights(data_dir: Path, tmp_path: Path) -> None:
    """BERT-Tiny: the file's logits are those of transformers with the same folder."""
    import torch
    import transformers

    folder = data_dir / "weights" / "bert_tiny_splade_mlm"
    theirs = transformers.BertForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    config, heads = BertConfig.preset("tiny"), ("masked_lm",)
    params = {name: tensor.numpy() for name, tensor in theirs.state_dict().items() if "decoder" not in name}
    path = export(params, config, Numerics(), tmp_path / "tiny.onnx", heads=heads)
    arrays = batch(config, (60, 17, 1))
    with torch.no_grad():
        want = theirs(**{name: torch.tensor(array) for name, array in arrays.items()}, output_hidden_states=True)
    got, real = run(path, arrays), arrays["attention_mask"] != 0
    assert error(got["prediction_logits"][real], want.logits.numpy()[real]) < 2e-6
    assert error(got["last_hidden_state"][real], want.hidden_states[-1].numpy()[real]) < 2e-6
    assert units(path, params, config, Numerics(), arrays, heads) < 30


@pytest.mark.slow
@DIALECTS
@pytest.mark.parametrize("preset", ["base", "large"])
def test_full_size(preset: str, dialect: str, tmp_path: Path) -> None:
    config, numerics, heads = BertConfig.preset(preset), Numerics.preset(dialect), ("pretraining",)
    random = np.random.default_rng(0)
    params = {
        name: array / 15 if array.ndim == 2 else array  # 0.02 wide, as a model is initialised
        for name, array in weights(config, heads, seed=int(random.integers(100))).items()
    }
    path = export(params, config, numerics, tmp_path / "model.onnx", heads=heads)
    size = sum(array.nbytes for array in params.values())
    assert size < path.stat().st_size < size + 300_000
    assert units(path, params, config, numerics, batch(config, (24, 13, 1)), heads) < 100


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    config, params = small_config(1), weights(small_config(1), ("sequence_classification",))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old model")

    def refused(message: str, **changes: Any) -> None:
        given: dict[str, Any] = {"heads": ("sequence_classification",), "params": params, "path": path, **changes}
        with pytest.raises(InputError, match=message):
            export(given.pop("params"), config, Numerics(), given.pop("path"), **given)

    refused("no probe.*'layer.1.scores'|'layer.1.scores' can't be recorded; there are embeddings.word",
            probes=["layer.1.scores"])  # fmt: skip
    refused("'mlm.logits' can't be recorded; this model's heads don't have it", probes=["mlm.logits"])
    refused("'loss.mlm' can't be recorded", probes=["loss.mlm"])
    refused("bfloat16.*there are float16, float32, float64", dtype="bfloat16")
    refused("3 labels were given; its classifier has 5 classes", labels=["a", "b", "c"])
    refused("no head 'squad'", heads=("squad",))
    refused("missing qa_outputs.weight", heads=("question_answering",))
    refused("unexpected classifier.weight", heads=("pooler",))
    refused("would answer under the one name", heads=("sequence_classification", "token_classification"))
    refused("shape", params={**params, "classifier.weight": params["classifier.weight"][:, 1:]})
    refused("model.onnx/below", path=path / "below")
    assert path.read_bytes() == b"the old model"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    export(params, config, Numerics(), path, heads=("sequence_classification",), labels=[*"abcde"])
    assert run(path, batch(config, (3, 2)))["logits"].shape == (2, LABELS)


def test_a_model_folder_becomes_a_file(data_dir: Path, tmp_path: Path) -> None:
    """What the loader gives is what the export takes."""
    saved = load_model(data_dir / "weights" / "bert_tiny_splade_mlm", allow=["bert.pooler", "cls.seq_relationship"])
    path = export(saved.params, saved.config, saved.numerics, tmp_path / "tiny.onnx", heads=saved.heads)
    arrays = batch(saved.config, (60, 17, 1))
    assert units(path, saved.params, saved.config, saved.numerics, arrays, saved.heads) < 30
