"""The network's table against the network: every row is made again from what the model and transformers recorded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref import backends, heads, model
from bertref.config import BertConfig, Numerics
from bertref.layers import Settings
from bertref.layout import inputs
from bertref.opset import OpSet
from bertref.probes import Probe, Recorder
from bertref.row import TensorRow
from bertref.topology import last_output, parameter_like, places, probe_names, readers, row_like, rows, users
from bertref.verify import Case, TransformersSubject, generate
from bertref.verify.graph.arithmetic import RowArithmetic
from bertref.verify.graph.axes import AxesOf
from bertref.verify.judgement.reference import reference
from bertref.verify.subjects import torch_model
from tests.model_cases import small_config

DIALECTS: dict[str, dict[str, Any]] = {
    "huggingface": {},
    "google": {"dialect": "google"},
    "exact mask": {"numerics": {"mask_value": -float("inf"), "scale_scores": "query"}, "hidden_act": "tanh"},
    "relu": {"hidden_act": "relu", "L": 1},
    "no layer": {"L": 0},
}
SOURCES = ("model", "transformers")


@cache
def recorded(source: str, dialect: str) -> tuple[Case, Mapping[str, np.ndarray]]:
    """A case and its probes, from our model or from transformers, in float64."""
    case = generate(5, optimizer=None, **DIALECTS[dialect])
    if source == "model":
        return case, reference(case, probe_names(case.config)).values
    return case, TransformersSubject(dtype="float64").answer(case, probe_names(case.config)).values


def distance(case: Case, row: TensorRow, values: Mapping[str, np.ndarray]) -> float:
    """How far the row's tensor, made from the recorded ones, is from the recorded one where it means anything."""
    axes = AxesOf(case)
    part = RowArithmetic(case, case.params).forward(row)
    with np.errstate(all="ignore"):
        made = part.compute(*(axes(name).clean(values[name]) for name in part.inputs))
    want = axes(row.name).clean(values[row.name])
    found = np.abs(axes(row.name).clean(np.asarray(made)) - want).max(initial=0)
    return float(found) / max(float(np.abs(want).max(initial=0)), 1e-300)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("source", SOURCES)
def test_every_row_makes_what_was_recorded(source: str, dialect: str) -> None:
    case, values = recorded(source, dialect)
    table = rows(case.config)
    assert {row.name for row in table} == values.keys()
    for row in table:
        assert distance(case, row, values) < 1e-12, row.name


def rewired(table: tuple[TensorRow, ...], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[TensorRow]:
    """Every row with every one of its edges to every other tensor of the same shape, except to itself."""
    for row in table:
        for i, name in enumerate(row.inputs):
            for other, shape in shapes.items():
                if shape == shapes[name] and other not in (name, row.name):
                    yield replace(row, inputs=(*row.inputs[:i], other, *row.inputs[i + 1 :]))


@pytest.mark.parametrize("dialect", ["huggingface", "google"])
@pytest.mark.parametrize("source", SOURCES)
def test_an_edge_to_another_tensor_is_seen(source: str, dialect: str) -> None:
    case, values = recorded(source, dialect)
    wrong = list(rewired(rows(case.config), {name: value.shape for name, value in values.items()}))
    assert len(wrong) > 500
    for row in wrong:
        assert distance(case, row, values) > 1e-6, f"{row.name} from {row.inputs}"


def changed_arguments(table: tuple[TensorRow, ...]) -> Iterator[TensorRow]:
    for row in table:
        if row.arguments[:1] in (("input_ids",), ("positions",)):
            yield replace(row, arguments=("token_type_ids",))
        elif row.op == "weighted_cross_entropy":
            yield replace(row, arguments=(row.arguments[0],))


def changed_parameters(table: tuple[TensorRow, ...], config: BertConfig) -> Iterator[TensorRow]:
    """Every row with another's weight and bias of the same shapes."""
    shapes = heads.parameter_shapes(config)
    for row in table:
        own = [shapes[name] for name, _ in row.parameters]
        for other in table:
            if own and other is not row and [shapes[name] for name, _ in other.parameters] == own:
                yield replace(row, parameters=other.parameters)


@pytest.mark.parametrize("source", SOURCES)
def test_other_parameters_and_arguments_are_seen(source: str) -> None:
    case, values = recorded(source, "huggingface")
    table = rows(case.config)
    wrong = [*changed_parameters(table, case.config), *changed_arguments(table)]
    assert len(wrong) > 100
    for row in wrong:
        assert distance(case, row, values) > 1e-6, f"{row.name} with {row.parameters}, {row.arguments}"


# ---------------------------------------------------------------------------------------------------------------------
# heads of other tasks

READS: dict[str, Callable[[model.Encoded], Any]] = {
    "sequence_classification": lambda encoded: encoded.pooled,
    "multiple_choice": lambda encoded: encoded.pooled,
    "token_classification": lambda encoded: encoded.sequence,
    "question_answering": lambda encoded: encoded.sequence,
}


@pytest.mark.parametrize("name", READS)
def test_the_row_of_a_classifier_makes_its_logits(name: str) -> None:
    config, head, ops = small_config(), heads.HEADS[name], OpSet(backends.get("numpy"), kernels=False)
    random = np.random.default_rng(3)
    shapes = heads.parameter_shapes(config, (name,), num_labels=5)
    params = {n: ops.xp.from_numpy(random.normal(0, 0.3, shape)) for n, shape in shapes.items()}
    ids = random.integers(5, config.vocab_size, (4, 7))
    x, recorder = inputs(ops.xp, ids, np.ones_like(ids), np.zeros_like(ids)), Recorder()
    probe = Probe(recorder, ops.xp, x.layout)
    encoded, _ = model.forward(ops, params, x, Settings(config, Numerics()), probe=probe)
    head.forward(ops, params, READS[name](encoded), *((2,) if name == "multiple_choice" else ()), probe=probe)
    values = recorder.to_numpy(ops.xp)
    (row,) = head.rows
    (read,) = rows(config, (name,), None)[-1].inputs
    assert read == ("pooled" if head.pooler else last_output(config))
    weight, bias = (params[parameter] for parameter, _ in row.parameters)
    by_hand = values[read] @ weight.T + bias
    np.testing.assert_allclose(values[row.name], by_hand.reshape(values[row.name].shape), rtol=1e-12, atol=1e-12)
    assert {r.name for r in rows(config, (name,), None)} == values.keys()
    assert values[row.name].ndim == len(row.axes.split())


@pytest.mark.parametrize("name", [*heads.HEADS, *heads.COMBINATIONS])
def test_the_parameters_of_the_rows_are_the_model_s(name: str) -> None:
    config = small_config()
    assert users(rows(config, (name,), None)).keys() == heads.parameter_shapes(config, (name,)).keys()


# ---------------------------------------------------------------------------------------------------------------------
# what is read off the table


def test_the_sequence_output_is_read_by_the_heads_first() -> None:
    table = rows(small_config())
    assert [row.name for row in readers(table)["layer.1.output"]] == ["mlm.dense", "pooled_pre"]
    assert [row.name for row in readers(table)["layer.0.output"]] == [
        f"layer.1.{name}" for name in ("attention_sum", "query", "key", "value")
    ]
    assert readers(table)["loss.total"] == ()


def test_every_place_is_a_module_of_transformers() -> None:
    case = generate(1)
    network = torch_model.stock(case.config, case.numerics)
    found = list(places(rows(case.config)))
    for module, side, _ in found:
        network.get_submodule(module)
        assert side in ("in", "out", "inside")
    hidden = set(probe_names(case.config)) - {probe for _, _, probe in found}
    assert hidden == {"loss.mlm", "loss.nsp", "loss.total"}


def test_rows_are_found_whatever_the_depth() -> None:
    assert row_like("layer.17.query").label == "query"
    assert parameter_like("bert.encoder.layer.17.output.LayerNorm.bias").label == "output.b"
    assert parameter_like("cls.predictions.bias").label == "mlm.bias"
    with pytest.raises(KeyError):
        row_like("layer.17.other")


def test_files_exist() -> None:
    root = Path(heads.__file__).parents[2]
    every = {file for name in heads.HEADS for row in rows(small_config(), (name,), None) for file in row.files}
    every |= {file for row in rows(small_config()) for file in row.files}
    assert not [file for file in every if not (root / file.format(activation="gelu_erf")).is_file()]
