"""What lies in the file: weights once each under their names, few nodes, metadata; and how it is written."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bertref import __version__
from bertref.config import Numerics, config_from_dict, numerics_from_dict
from bertref.errors import BackendUnavailable, InputError
from bertref.onnx_export import INPUTS, export, file

from ..model_cases import small_config
from .exported import HEADS, batch, check, expected, named, probes_of, run, weights


@pytest.mark.parametrize("heads", HEADS, ids=named)
def test_weights_are_stored_once_under_their_names(heads: tuple[str, ...], tmp_path: Path) -> None:
    config = small_config(2, vocab_size=5000)
    params = weights(config, heads)
    path = export(params, config, Numerics(), tmp_path / "model.onnx", heads=heads)
    onnx.checker.check_model(path, full_check=True)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    for name, array in params.items():
        np.testing.assert_array_equal(stored.pop(name), array)
    assert all(array.size <= 4 for array in stored.values()), "something large that is no weight"
    assert path.stat().st_size < sum(array.nbytes for array in params.values()) + 30_000


def test_a_layer_is_few_nodes(tmp_path: Path) -> None:
    """What the layers share is there once: a further layer adds its own operators and nothing else."""
    counts = []
    for layers in (1, 2, 3):
        config = small_config(layers)
        path = export(weights(config, ()), config, Numerics(), tmp_path / "model.onnx", heads=())
        counts.append(Counter(node.op_type for node in onnx.load(path).graph.node))
    assert counts[2] - counts[1] == counts[1] - counts[0]
    added = counts[1] - counts[0]
    assert added["Gemm"] == 6
    assert added["Shape"] == added["Concat"] == added["Cast"] == 0
    assert added.total() <= 60


def test_inputs_and_outputs_have_free_lengths(tmp_path: Path) -> None:
    config, heads = small_config(1), ("pretraining",)
    path = export(
        weights(config, heads), config, Numerics(), tmp_path / "model.onnx", heads=heads, probes=["nsp.logits"]
    )

    def shape(value: onnx.ValueInfoProto) -> list[str | int]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    graph = onnx.load(path).graph
    assert {value.name: shape(value) for value in graph.input} == {name: ["batch", "sequence"] for name in INPUTS}
    assert {value.name: shape(value) for value in graph.output} == {
        "last_hidden_state": ["batch", "sequence", 24],
        "pooler_output": ["batch", 24],
        "prediction_logits": ["batch", "sequence", 41],
        "seq_relationship_logits": ["batch", 2],
        "nsp.logits": ["batch", 2],
    }


@pytest.mark.parametrize("mask_value", [-10000.0, float("-inf")])
def test_the_file_says_what_it_is(mask_value: float, tmp_path: Path) -> None:
    config, numerics, heads = small_config(1), Numerics(gelu="tanh", mask_value=mask_value), ("token_classification",)
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    path = export(weights(config, heads), config, numerics, tmp_path / "model.onnx", heads=heads, labels=names)
    model = onnx.load(path)
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert (model.producer_name, model.producer_version) == ("bertref", __version__)
    assert numerics_from_dict(about["bertref_numerics"]) == numerics
    assert config_from_dict(about["bertref_config"]) == (config, numerics)
    assert about["bertref_heads"] == ["token_classification"]
    assert about["bertref_labels"] == names


def test_the_same_model_is_the_same_file(tmp_path: Path) -> None:
    config, heads = small_config(2), ("pretraining",)
    params = weights(config, heads)
    one, two = (export(params, config, Numerics(), tmp_path / name, heads=heads) for name in ("a.onnx", "b.onnx"))
    assert one.read_bytes() == two.read_bytes()


def test_too_large_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the weights lie beside; replacing the pair keeps it one."""
    config, heads = small_config(2), ("pretraining",)
    params, arrays, probes = weights(config, heads), batch(config, (7, 2)), probes_of(config, heads)
    path = tmp_path / "deep" / "model.onnx"
    small = export(params, config, Numerics(), path, heads=heads).stat().st_size
    limit = sum(array.nbytes for array in params.values())
    monkeypatch.setattr(file, "LARGEST", limit)
    assert export(params, config, Numerics(), path, heads=heads).stat().st_size == small, "exactly at the limit"
    monkeypatch.setattr(file, "LARGEST", limit - 1)
    for seed in (0, 1):
        params = weights(config, heads, seed)
        export(params, config, Numerics(), path, heads=heads, probes=probes)
        assert sorted(p.name for p in path.parent.iterdir()) == ["model.onnx", "model.onnx.data"]
        assert path.stat().st_size < 60_000
        onnx.checker.check_model(path, full_check=True)
        check(run(path, arrays), expected(params, config, Numerics(), arrays, heads, probes))
    moved = path.parent.rename(tmp_path / "elsewhere") / "model.onnx"
    check(run(moved, arrays), expected(params, config, Numerics(), arrays, heads, probes))


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(1)
    params = weights(config, ())
    taken = tmp_path / "folder.onnx"
    (taken / "in it").mkdir(parents=True)
    for limit in (file.LARGEST, 0):
        monkeypatch.setattr(file, "LARGEST", limit)
        with pytest.raises(InputError, match=r"folder\.onnx: can't be"):
            export(params, config, Numerics(), taken, heads=())
        assert [p.name for p in tmp_path.iterdir()] == ["folder.onnx"]


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    config = small_config(1)
    with pytest.raises(BackendUnavailable, match=r"pip install 'bertref\[onnx\]'"):
        export(weights(config, ()), config, Numerics(), tmp_path / "model.onnx", heads=())
    assert not list(tmp_path.iterdir())
