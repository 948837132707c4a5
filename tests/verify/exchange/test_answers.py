"""Answers folders: any subset, any format, any dtype, and the case that they answer."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertref.errors import InputError
from bertref.verify.cases.case import generate
from bertref.verify.exchange import FORMATS, find_case, read_dump, settings_digest, write_answers, write_case
from bertref.verify.exchange.names import answer_shapes
from bertref.verify.records import Arrays
from bertref.verify.subjects.dump import DumpSubject

from .folders import bfloat16, case, dump, dump_tsv, right, some

FEW = ("layer.1.probs", "loss.total", "grad:layer.0.ffn_pre", "update:cls.seq_relationship.weight", "mlm.logits")


def same(found: Arrays, wanted: Arrays) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert np.array_equal(found[name], array), name


def test_every_answer_has_the_name_and_shape_that_the_model_records() -> None:
    assert answer_shapes(case()) == {name: array.shape for name, array in right().items()}
    no_step = answer_shapes(dataclasses.replace(case(), optimizer=None))
    assert no_step.keys() == {name for name in right() if not name.startswith("update:")}


@pytest.mark.parametrize(
    ("form", "dtype"), [*((form, "float64") for form in FORMATS), ("bin", "float32"), ("bin", "float16")]
)
def test_all_answers_are_read_back(tmp_path: Path, form: str, dtype: str) -> None:
    values = {name: array.astype(dtype) for name, array in right().items()}
    folder = write_answers(values, case(), tmp_path / "out", form=form, precision="float32")
    subject = DumpSubject(folder)
    assert subject.precision == "float32"
    assert not subject.live
    same(subject.answer(case()).values, values)


@pytest.mark.parametrize("write", [dump, dump_tsv])
def test_a_few_answers_written_by_hand(tmp_path: Path, write: Any) -> None:
    same(DumpSubject(write(tmp_path / "out", some(*FEW))).answer(case()).values, some(*FEW))


def test_only_what_is_wanted_is_given(tmp_path: Path) -> None:
    subject = DumpSubject(dump(tmp_path, some(*FEW)))
    wanted = {"loss.total", "mlm.logits", "pooled"}
    same(subject.answer(case(), wanted).values, some("loss.total", "mlm.logits"))


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    array = right()["pooled"]
    (tmp_path / "x.bin").write_bytes(b"12" + bfloat16(array))
    entry = {"name": "pooled", "dtype": "bfloat16", "shape": list(array.shape), "file": "x.bin", "offset": 2}
    dump(tmp_path, {}, tensors=[entry])
    answers = DumpSubject(tmp_path).answer(case())
    found = answers.values["pooled"]
    assert found.dtype == np.float32
    assert np.abs(found / array - 1).max() < 2**-7
    assert not (found.view(np.uint32) & 0xFFFF).any()
    assert any("bfloat16" in note for note in answers.notes)


def test_integers_are_numbers_too(tmp_path: Path) -> None:
    values = {"pooled": np.arange(-60, 60, dtype=np.int16).reshape(5, 24), "loss.nsp": np.uint8(1)}
    found = DumpSubject(dump(tmp_path, values)).answer(case()).values
    assert np.array_equal(found["pooled"], values["pooled"])
    assert found["loss.nsp"] == 1


def test_containers_say_dtype_and_shape_themselves(tmp_path: Path) -> None:
    """Files as NumPy and safetensors write them, listed with nothing but their names; a column-major one too."""
    values = some(*FEW)
    np.save(tmp_path / "probs.npy", np.asfortranarray(values["layer.1.probs"]))
    rest = {name: np.ascontiguousarray(array) for name, array in values.items() if name != "layer.1.probs"}
    save_file(rest, tmp_path / "rest.safetensors", metadata={"who": "a test"})
    files = dict.fromkeys(rest, "rest.safetensors") | {"layer.1.probs": "probs.npy"}
    dump(tmp_path, {}, tensors=[{"name": name, "file": file} for name, file in files.items()])
    same(DumpSubject(tmp_path).answer(case()).values, {name: values[name] for name in files})


def test_logits_of_all_positions_are_gathered(tmp_path: Path) -> None:
    batch, wanted = case().batch, right()["mlm.logits"]
    everywhere = np.random.default_rng(0).standard_normal((*batch.input_ids.shape, wanted.shape[-1]))
    used = batch.masked_lm_weights != 0
    rows = np.nonzero(used)[0]
    everywhere[rows, batch.masked_lm_positions[used]] = wanted[used]
    values = {"mlm.logits": everywhere, "grad:mlm.logits": everywhere}
    found = DumpSubject(dump(tmp_path, values)).answer(case()).values
    assert np.array_equal(found["mlm.logits"][used], wanted[used])
    assert np.array_equal(found["grad:mlm.logits"][used], wanted[used])
    assert not found["grad:mlm.logits"][~used].any()


def test_what_can_be_told_without_doubt_is_reshaped(tmp_path: Path) -> None:
    values = some("embeddings.position", "loss.mlm")
    given = {"embeddings.position": values["embeddings.position"][0], "loss.mlm": values["loss.mlm"].reshape(1, 1)}
    found = DumpSubject(dump(tmp_path, given)).answer(case()).values
    full = np.broadcast_to(values["embeddings.position"][0], found["embeddings.position"].shape)
    same(found, {**values, "embeddings.position": full})


def test_nan_is_passed_on_to_the_judge(tmp_path: Path) -> None:
    values = {"pooled": np.full((5, 24), np.nan, np.float32), "loss.total": np.float32(np.inf)}
    found = DumpSubject(dump(tmp_path, values)).answer(case()).values
    assert np.isnan(found["pooled"]).all()
    assert np.isinf(found["loss.total"])


def test_a_dump_says_which_case_it_answers(tmp_path: Path) -> None:
    other = generate(8)
    by_digest = DumpSubject(dump(tmp_path / "a", some("pooled")))
    by_seed = DumpSubject(dump(tmp_path / "b", some("pooled"), case=None, seed=7))
    by_line = DumpSubject(dump_tsv(tmp_path / "c", some("pooled"), "#bertref version=1 seed=7 precision=tf32"))
    assert by_line.precision == "tf32"
    assert (by_digest.seed, by_seed.seed, by_line.seed) == (None, 7, 7)
    for subject in (by_digest, by_seed, by_line):
        same(subject.answer(case()).values, some("pooled"))
    asked, given = settings_digest(other), settings_digest(case())
    with pytest.raises(InputError, match=f"answers the case {given}, not .*seed 8.*{asked}"):
        by_digest.answer(other)
    for subject in (by_seed, by_line):
        with pytest.raises(InputError, match="answers the case of seed 7, but this one is of seed 8"):
            subject.answer(other)


def test_a_dump_near_its_case_finds_it(tmp_path: Path) -> None:
    write_case(generate(8), tmp_path / "another")
    folder = write_case(case(), tmp_path / "case")
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    places = [folder / "answers", tmp_path / "answers"]
    assert [find_case(dump(place, some("pooled"))) for place in places] == [folder.resolve()] * 2
    subject = DumpSubject(places[0])
    found = subject.case()
    assert subject.case_folder == folder.resolve()
    assert found is not None
    assert settings_digest(found) == settings_digest(case())
    same(subject.answer(found).values, some("pooled"))
    assert find_case(dump(tmp_path / "by-seed", some("pooled"), case=None, seed=7)) == folder.resolve()
    assert find_case(dump(tmp_path / "lost" / "answers", some("pooled"), case="0" * 32)) is None
    assert DumpSubject(tmp_path / "lost" / "answers").case() is None


def test_the_index_in_json_counts_where_there_are_two(tmp_path: Path) -> None:
    dump_tsv(tmp_path, some("pooled"), "#bertref version=1 case=another")
    dump(tmp_path, some("pooled"))
    assert read_dump(tmp_path).case == settings_digest(case())
    assert json.loads((tmp_path / "index.json").read_text(encoding="utf-8"))["version"] == 1


def test_answers_are_not_written_over_others(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        write_answers(some("pooled"), case(), tmp_path)
