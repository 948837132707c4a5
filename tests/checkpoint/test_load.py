"""Loading: every way in which a file may differ from the canonical one, and a row for each tensor of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bertref.checkpoint import load_model
from bertref.checkpoint.coverage import common_pattern
from bertref.checkpoint.names import BIAS, DECODER_BIAS, WORDS
from bertref.errors import CheckpointError, InputError
from bertref.heads import DECODER

from .test_folder import make

Arrays = dict[str, np.ndarray]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "model", dtype="float32")
    return tmp_path / "model"


def change(folder: Path, edit: Callable[[Arrays], None]) -> Arrays:
    """Rewrites the weights of a folder; returns what was there before."""
    before = load_file(folder / "model.safetensors")
    after = dict(before)
    edit(after)
    save_file(after, folder / "model.safetensors", metadata={"format": "pt"})
    return before


def rename(old: str, new: str) -> Callable[[Arrays], None]:
    def edit(arrays: Arrays) -> None:
        for name in list(arrays):
            if old in name:
                arrays[name.replace(old, new, 1)] = arrays.pop(name)

    return edit


def drop(*parts: str) -> Callable[[Arrays], None]:
    """Removes every tensor whose name holds one of the parts."""

    def edit(arrays: Arrays) -> None:
        for name in list(arrays):
            if any(part in name for part in parts):
                del arrays[name]

    return edit


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v != "removed"}))


def assert_params(found: Arrays, wanted: Arrays) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize(
    ("old", "new"),
    [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"), ("bert.", ""), ("", "module.")],
)
def test_other_names_are_read_and_reported(folder: Path, old: str, new: str) -> None:
    before = change(folder, rename(old, new))
    saved = load_model(folder)
    assert_params(saved.params, before)
    renamed = [row for row in saved.coverage.rows if "renamed" in row.actions]
    assert len(renamed) == sum(old in name for name in before)
    assert all(row.parameter.replace(old, new, 1) == row.stored for row in renamed if row.parameter)
    assert saved.coverage.counts()["read"] == len(before)


def test_a_stored_tied_decoder_is_tied(folder: Path) -> None:
    def store(arrays: Arrays) -> None:
        arrays[DECODER] = arrays[WORDS].copy()
        arrays[DECODER_BIAS] = arrays[BIAS].copy()
        arrays["bert.embeddings.position_ids"] = np.arange(12)[None]

    before = change(folder, store)
    saved = load_model(folder)
    assert_params(saved.params, before)
    assert saved.coverage.counts() == {"read": len(before) + 2, "tied": 2, "buffer": 1}


def test_a_decoder_of_its_own_is_kept(folder: Path) -> None:
    def store(arrays: Arrays) -> None:
        arrays[DECODER] = arrays[WORDS] + np.float32(0.5)

    before = change(folder, store)
    saved = load_model(folder)
    assert_params(saved.params, {**before, DECODER: before[WORDS] + np.float32(0.5)})
    assert saved.coverage.names("untied") == [DECODER]


def test_the_decoders_bias_may_stand_for_the_other(folder: Path) -> None:
    before = change(folder, rename(BIAS, DECODER_BIAS))
    assert_params(load_model(folder).params, before)


def test_two_different_decoder_biases_are_refused(folder: Path) -> None:
    change(folder, lambda arrays: arrays.update({DECODER_BIAS: arrays[BIAS] + 1}))
    with pytest.raises(CheckpointError, match=r"decoder\.bias and .*predictions\.bias differ"):
        load_model(folder)


def test_a_decoder_of_its_own_brings_its_bias(folder: Path) -> None:
    """transformers adds decoder.bias; where the decoder is not tied, nothing keeps the other one equal to it."""

    def store(arrays: Arrays) -> None:
        arrays[DECODER] = arrays[WORDS] * np.float32(2)
        arrays[DECODER_BIAS] = arrays[BIAS] + np.float32(1)

    before = change(folder, store)
    saved = load_model(folder)
    changed = {DECODER: before[WORDS] * np.float32(2), BIAS: before[BIAS] + np.float32(1)}
    assert_params(saved.params, {**before, **changed})
    assert set(saved.coverage.names("untied")) == {DECODER, DECODER_BIAS}
    assert len(saved.coverage.notes) == 1


def test_missing_heads_need_to_be_allowed(folder: Path) -> None:
    change(folder, drop("seq_relationship"))
    with pytest.raises(CheckpointError, match=r"2 missing: cls\.seq.*\n.*--allow 'cls\.seq_relationship\.\*'"):
        load_model(folder)
    saved = load_model(folder, allow=["cls.seq_relationship.*"])
    assert saved.heads == ("masked_lm",)
    assert "bert.pooler.dense.weight" in saved.params
    assert saved.coverage.names("allowed") == saved.coverage.missing
    assert len(saved.coverage.missing) == 2


def test_a_missing_pooler(folder: Path) -> None:
    change(folder, drop("pooler", "seq_relationship"))
    with pytest.raises(CheckpointError, match="4 missing"):
        load_model(folder)
    assert load_model(folder, allow=["bert.pooler.*", "cls.seq_relationship.*"]).heads == ("masked_lm",)
    edit_config(folder, architectures=["BertForMaskedLM"])
    assert load_model(folder).heads == ("masked_lm",)


def test_half_a_pooler(folder: Path) -> None:
    change(folder, drop("seq_relationship", "pooler.dense.bias"))
    edit_config(folder, architectures=["BertForMaskedLM"])
    with pytest.raises(CheckpointError, match=r"1 missing: bert\.pooler\.dense\.bias"):
        load_model(folder)
    with pytest.raises(CheckpointError, match=r"1 unused: bert\.pooler\.dense\.weight"):
        load_model(folder, allow=["bert.pooler.dense.bias"])
    saved = load_model(folder, allow=["bert.pooler.*"])
    assert not any("pooler" in name for name in saved.params)


def test_the_encoder_is_never_optional(folder: Path) -> None:
    change(folder, drop("bert.encoder.layer.1.output.dense.bias"))
    for allow in ((), ("*",)):
        with pytest.raises(CheckpointError, match=r"layer\.1\.output\.dense\.bias\n.*can't do without"):
            load_model(folder, allow=allow)


def test_unused_tensors_need_to_be_allowed(folder: Path) -> None:
    def add(arrays: Arrays) -> None:
        arrays["bert.encoder.layer.3.output.dense.bias"] = np.zeros(24, np.float32)
        arrays["ema.decay"] = np.zeros(1, np.float32)

    before = change(folder, add)
    with pytest.raises(CheckpointError, match=r"2 unused: .*ema\.decay"):
        load_model(folder)
    saved = load_model(folder, allow=["bert.encoder.layer.3.*", "ema.decay"])
    assert_params(saved.params, before)
    assert saved.coverage.summary().endswith("0 missing, 2 unused")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: a.update({"bert.pooler.dense.weight": a["bert.pooler.dense.weight"][:, :5].copy()}),
         r"pooler\.dense\.weight has shape \(24, 5\); the config asks for \(24, 24\)"),
        (lambda a: a.update({"bert.encoder.layer.0.output.dense.weight":
                             a["bert.encoder.layer.0.output.dense.weight"].T.copy()}), "is it transposed"),
        (lambda a: a.update({BIAS: np.arange(10)}), r"predictions\.bias holds int64"),
        (lambda a: a.update({BIAS: np.full(10, np.nan, np.float32)}), "holds NaN or infinity, 10 of 10"),
        (lambda a: a.update({BIAS: np.where(np.arange(10) == 3, np.inf, 0).astype(np.float16)}),
         r"1 of 10, the first at \(3,\)"),
        (lambda a: a.update({"module." + BIAS: a[BIAS]}), "are both cls.predictions.bias; remove one"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(folder: Path, edit: Callable[[Arrays], None], message: str) -> None:
    change(folder, edit)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(folder, allow=["*"])
    assert str(error.value).count("\n") <= 1


def test_half_precision_is_widened_exactly(folder: Path) -> None:
    def narrow(arrays: Arrays) -> None:
        arrays[BIAS] = arrays[BIAS].astype(np.float16)

    before = change(folder, narrow)
    saved = load_model(folder)
    assert saved.params[BIAS].dtype == np.float32
    assert (saved.params[BIAS] == before[BIAS].astype(np.float16)).all()
    assert saved.coverage.names("widened") == [BIAS]


@pytest.mark.parametrize(
    ("architecture", "rows", "head"),
    [
        ("BertForSequenceClassification", 3, "sequence_classification"),
        ("BertForMultipleChoice", 1, "multiple_choice"),
        ("BertForTokenClassification", 5, "token_classification"),
        ("removed", 3, "sequence_classification"),
    ],
)
def test_a_classifiers_kind_is_the_architectures(folder: Path, architecture: str, rows: int, head: str) -> None:
    def replace(arrays: Arrays) -> None:
        for name in list(arrays):
            if name.startswith("cls.") or (head == "token_classification" and "pooler" in name):
                del arrays[name]
        arrays["classifier.weight"] = np.ones((rows, 24), np.float32)
        arrays["classifier.bias"] = np.ones(rows, np.float32)

    change(folder, replace)
    names = {str(i): f"L{i}" for i in range(3)}
    edit_config(folder, architectures=[architecture] if architecture != "removed" else "removed", id2label=names)
    saved = load_model(folder)
    assert saved.heads == (head,)
    assert saved.labels == (tuple(names.values()) if rows == 3 else tuple(f"LABEL_{i}" for i in range(rows)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id2label": {"0": "a", "2": "b"}}, "id2label"), ({"id2label": ["a"]}, "id2label"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
    ],
)  # fmt: skip
def test_a_config_that_makes_no_sense(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(InputError, match=message):
        load_model(folder)


def test_nothing_to_load_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder or file"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"holds no weights.*it is empty"):
        load_model(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"it holds notes\.txt"):
        load_model(tmp_path)
    with pytest.raises(CheckpointError, match="not from this"):
        load_model(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("names", "pattern"),
    [(["a.b"], "a.b"), (["a.b.c", "a.b.d"], "a.b.*"), (["a.bc", "a.bd"], "a.*"), (["a", "b"], "*"),
     (["bert/x/m", "bert/y"], "bert/*")],
)  # fmt: skip
def test_the_pattern_that_is_proposed(names: list[str], pattern: str) -> None:
    assert common_pattern(names) == pattern
