"""Folders of RoBERTa, DistilBERT and ALBERT: read in every form, written as transformers writes them, opened there."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from bertref.checkpoint.folder import describe_model, read_weights_back, save_weights
from bertref.checkpoint.info import model_info
from bertref.checkpoint.load import Description, describe
from bertref.checkpoint.plan import class_of
from bertref.checkpoint.sources import open_source
from bertref.checkpoint.weights import LoadedWeights, read_weights
from bertref.errors import CheckpointError
from bertref.heads import DECODER
from tests.variant_cases import CLASSES, made, network_of

VARIANT_CLASSES = [(name, kind) for name, kind in CLASSES if name != "bert"]


def read(folder: Path) -> tuple[Description, LoadedWeights]:
    source = open_source(folder)
    described = describe(source, folder)
    return described, read_weights(source, described.config, described.architectures)


def written(described: Description, weights: LoadedWeights, folder: Path) -> Path:
    folder.mkdir()
    describe_model(
        folder, described.config, described.numerics, None, architecture=class_of(weights.heads),
        tied=DECODER not in weights.params, labels=described.labels if weights.num_labels == 3 else (),
    )  # fmt: skip
    save_weights(folder, weights.params)
    return folder


def opened(network: Any, folder: Path, caplog: pytest.LogCaptureFixture) -> Any:
    """What transformers makes of a folder, without a warning."""
    options = {} if hasattr(network, network.base_model_prefix) or network.config.model_type == "distilbert" else {
        "add_pooling_layer": network.pooler is not None
    }  # fmt: skip
    logger = logging.getLogger("transformers")
    logger.propagate, before = True, logger.propagate
    try:
        with caplog.at_level(logging.WARNING, "transformers"):
            found, loading = type(network).from_pretrained(folder, output_loading_info=True, **options)
    finally:
        logger.propagate = before
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not any(loading.values())
    return found


@pytest.mark.parametrize(("name", "kind"), VARIANT_CLASSES)
def test_a_folder_round_trips(name: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = network_of(name, kind)
    network.save_pretrained(tmp_path / "theirs")
    described, weights = read(tmp_path / "theirs")
    ours = written(described, weights, tmp_path / "ours")
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "theirs", ours))
    prefix = "" if kind != "Model" else f"{network.base_model_prefix}."  # a bare model's names lack it
    assert after.keys() == {prefix + stored for stored in before}
    for stored, array in before.items():
        assert after[prefix + stored].tobytes() == array.tobytes(), stored
    again, same = read(ours)
    assert (again.config, again.numerics) == (described.config, described.numerics)
    assert same.heads == weights.heads
    assert read_weights_back(ours).keys() == weights.params.keys()
    reopened = opened(network, ours, caplog)
    assert type(reopened).__name__ in json.loads((ours / "config.json").read_text())["architectures"]
    for own, parameter in network.named_parameters():
        assert torch.equal(reopened.get_parameter(own).double(), parameter), own


@pytest.mark.parametrize("name", ["roberta", "distilbert", "albert in groups"])
@pytest.mark.parametrize("form", ["pickled", "sharded", "bfloat16", "wrapped"])
def test_every_form_is_read(name: str, form: str, tmp_path: Path) -> None:
    network = made(name, "ForSequenceClassification").float()
    network.save_pretrained(tmp_path, max_shard_size="20KB" if form == "sharded" else "1GB")
    wanted = read(tmp_path)[1].params
    if form == "sharded":
        assert (tmp_path / "model.safetensors.index.json").is_file()
        return
    (tmp_path / "model.safetensors").unlink()
    state = network.state_dict()
    if form == "wrapped":
        state = {f"module.{stored}": tensor for stored, tensor in state.items()}
    torch.save(
        {stored: tensor.bfloat16() if form == "bfloat16" else tensor for stored, tensor in state.items()},
        tmp_path / "pytorch_model.bin",
    )
    for own, array in read(tmp_path)[1].params.items():
        np.testing.assert_allclose(array, wanted[own], rtol=2**-8 if form == "bfloat16" else 0, err_msg=own)


@pytest.mark.parametrize("name", ["roberta", "distilbert", "albert"])
def test_a_decoder_of_its_own_is_kept(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = made(name, "ForMaskedLM", tie_word_embeddings=False)
    network.save_pretrained(tmp_path / "theirs")
    described, weights = read(tmp_path / "theirs")
    assert weights.coverage.names("untied")
    assert weights.params[DECODER].shape == (41, 10 if name == "albert" else 24)
    reopened = opened(network, written(described, weights, tmp_path / "ours"), caplog)
    assert torch.equal(reopened.get_output_embeddings().weight.double(), network.get_output_embeddings().weight)


def test_an_unused_pooler_beside_roberta_s_classifier_is_named(tmp_path: Path) -> None:
    """Files of 2019 hold both."""
    network = network_of("roberta", "ForSequenceClassification")
    network.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    pooler = {f"roberta.pooler.dense.{part}": torch.zeros(24, 24)[0 if part == "bias" else slice(None)]
              for part in ("weight", "bias")}  # fmt: skip
    torch.save({**network.state_dict(), **pooler}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"2 unused: roberta\.pooler\.dense\.weight"):
        read(tmp_path)
    source = open_source(tmp_path)
    described = describe(source, tmp_path)
    found = read_weights(source, described.config, described.architectures, allow=["roberta.pooler.*"])
    stored = network.classifier.dense.weight.detach().numpy()
    np.testing.assert_array_equal(found.params["bert.pooler.dense.weight"], stored)


@pytest.mark.parametrize("name", ["roberta", "albert"])
def test_names_of_another_variant_are_nobody_s(name: str, tmp_path: Path) -> None:
    network_of("distilbert", "ForMaskedLM").save_pretrained(tmp_path)
    network_of(name, "ForMaskedLM").config.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"missing: bert\.embeddings\.word_embeddings\.weight"):
        read(tmp_path)


COUNTED = [("distilbert", "Model"), ("roberta", "Model"), ("albert", "ForPreTraining")]


@pytest.mark.parametrize(("name", "kind"), COUNTED)
def test_info_counts_what_transformers_counts(name: str, kind: str, tmp_path: Path) -> None:
    network = network_of(name, kind)
    network.save_pretrained(tmp_path)
    info = model_info(tmp_path)
    assert info["parameters"]["total"] == sum(parameter.numel() for parameter in network.parameters())
    assert not info["coverage"]["counts"].get("missing")
    assert info["architectures"] == [type(network).__name__]
    assert isinstance(network, transformers.PreTrainedModel)
