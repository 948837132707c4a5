"""Case folders: what is written can be read by anyone, and is read back bit for bit."""

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.config import numerics_to_dict
from bertref.errors import InputError
from bertref.variants import OWN
from bertref.verify.cases.case import generate
from bertref.verify.exchange import FORMATS, read_case, settings_digest, write_case
from bertref.verify.records import Case

from .folders import case, right

CASES = {
    "huggingface": lambda: case(),
    "google": lambda: generate(3, dialect="google", hidden_act="relu"),
    "exact mask, lamb": lambda: generate(4, numerics={"mask_value": -math.inf}, optimizer="lamb", edge="masked-row"),
    "no optimiser": lambda: generate(5, optimizer=None),
    "wide numbers": lambda: _with_parameter(lambda p: p + 2.0**-40),
    "wide moments": lambda: _with_wide_moments(),
    "negative zeros": lambda: _with_parameter(lambda p: p * 0.0 - 0.0),
}


def _with_parameter(change: Any, name: str = "bert.pooler.dense.bias") -> Case:
    return dataclasses.replace(case(), params={**case().params, name: change(case().params[name])})


def _with_wide_moments() -> Case:
    step = case().optimizer
    assert step is not None
    wide = {name: array.astype(np.float64) for name, array in step.moments.items()}  # every other one needs the width
    moments = {name: array * 1.1 if name.endswith("/m") else array for name, array in wide.items()}
    return dataclasses.replace(case(), optimizer=dataclasses.replace(step, moments=moments))


def arrays(c: Case) -> dict[str, Any]:
    moments = c.optimizer.moments if c.optimizer else {}
    return {**c.params, **dict(c.batch.items()), **moments}


@pytest.mark.parametrize(
    ("name", "formats"),
    [*((name, ("bin",)) for name in CASES), *(("huggingface", formats) for formats in (("npy",), ("safetensors",))),
     ("wide numbers", ("npy", "bin")), ("negative zeros", ("safetensors",))],
)  # fmt: skip
def test_a_case_is_read_back_bit_for_bit(tmp_path: Path, name: str, formats: tuple[str, ...]) -> None:
    first = CASES[name]()
    second = read_case(write_case(first, tmp_path / "case", formats=formats))
    assert (second.name, second.config, second.numerics) == (first.name, first.config, first.numerics)
    assert second.origin == json.loads(json.dumps(dict(first.origin)))
    assert list(second.params) == list(first.params)
    assert arrays(second).keys() == arrays(first).keys()
    for key, array in arrays(first).items():
        assert arrays(second)[key].dtype == array.dtype, key
        assert arrays(second)[key].shape == array.shape, key
        assert arrays(second)[key].tobytes() == array.tobytes(), key
    if first.optimizer is None:
        assert second.optimizer is None
    else:
        assert second.optimizer is not None
        fields = dataclasses.fields(first.optimizer)
        for field in (f.name for f in fields if f.name != "moments"):
            assert getattr(second.optimizer, field) == getattr(first.optimizer, field)


@pytest.mark.parametrize("formats", [*((form,) for form in FORMATS), FORMATS], ids="+".join)
def test_the_index_says_where_the_bytes_are(tmp_path: Path, formats: tuple[str, ...]) -> None:
    """Both indexes, read here with nothing but split and slices; whatever the file is, raw bytes lie at the offset."""
    folder = write_case(case(), tmp_path / "case", formats=formats, expected=right())
    wanted = {**arrays(case()), **right()}
    lines = (folder / "index.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["#bertref", "version=1", f"case={settings_digest(case())}"]
    found = {}
    for name, dtype, ndim, *rest in (line.split("\t") for line in lines[1:]):
        *shape, offset, file = rest
        assert len(shape) == int(ndim)
        found[name] = (dtype, [int(n) for n in shape], file, int(offset))
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert {t["name"]: (t["dtype"], t["shape"], t["file"], t["offset"]) for t in index["tensors"]} == found
    assert found.keys() == wanted.keys()
    for name, (dtype, shape, file, offset) in found.items():
        data = (folder / file).read_bytes()[offset:]
        kind = np.dtype(dtype).newbyteorder("<")
        flat = np.frombuffer(data, kind, count=math.prod(shape))
        assert np.array_equal(flat.reshape(shape), wanted[name]), name
    kinds = {t["name"]: t["kind"] for t in index["tensors"]}
    assert {kinds[name] for name in right()} == {"expected"}
    assert all(t["nbytes"] == math.prod(t["shape"]) * np.dtype(t["dtype"]).itemsize for t in index["tensors"])


def test_raw_files_are_aligned_and_hold_nothing_else(tmp_path: Path) -> None:
    folder = write_case(case(), tmp_path / "case")
    tensors = json.loads((folder / "index.json").read_text(encoding="utf-8"))["tensors"]
    for file, group in itertools.groupby(tensors, lambda t: t["file"]):
        listed = list(group)
        assert all(t["offset"] % 64 == 0 for t in listed)
        assert all(0 <= b["offset"] - a["offset"] - a["nbytes"] < 64 for a, b in itertools.pairwise(listed))
        assert (folder / file).stat().st_size == listed[-1]["offset"] + listed[-1]["nbytes"]


def test_the_settings_are_complete(tmp_path: Path) -> None:
    c = generate(9, dialect="google")
    folder = write_case(c, tmp_path / "case", precision="bfloat16")
    lines = [line.split("\t") for line in (folder / "settings.tsv").read_text(encoding="utf-8").splitlines()]
    assert all(len(line) == 2 and all(line) and " " not in "".join(line) for line in lines)
    found = dict(lines)
    assert len(found) == len(lines)
    step = c.optimizer
    assert step is not None
    weights = c.batch.masked_lm_weights
    numbers = {
        "sizes.B": len(c.batch), "sizes.T": int((c.batch.attention_mask == 1).sum()),
        "sizes.N": int((weights > 0).sum()),
        "scale": 1 / math.sqrt(c.config.head_size), "loss.nsp_denominator": len(c.batch), "optimizer.step": step.step,
        "loss.mlm_denominator": float(weights.sum()) + 1e-5, "optimizer.rate": step.rate,
        "optimizer.clip_norm": step.clip_norm, "optimizer.beta1": 0.9, "numerics.layer_norm_eps": 1e-12,
        "numerics.mask_value": -10000.0, "config.hidden_size": c.config.hidden_size, "seed": 9,
    }  # fmt: skip
    assert {key: float(found[key]) for key in numbers} == numbers
    assert found["activation"] == "gelu_tanh"
    assert found["optimizer.kind"] == "google"
    assert found["precision"] == "bfloat16"
    assert found["case"] == settings_digest(c)
    decayed = {key.removeprefix("decay.") for key, value in found.items() if key.startswith("decay.") and value == "1"}
    assert decayed == {name for name in c.params if "LayerNorm" not in name and not name.endswith("bias")}
    others = {"model_type", *OWN}  # of other networks
    named = {field.name for field in dataclasses.fields(c.config)}
    assert {key.removeprefix("config.") for key in found if key.startswith("config.")} == named - others
    assert {f"numerics.{name}" for name in numerics_to_dict(c.numerics)} <= found.keys()
    assert {f"optimizer.{field.name}" for field in dataclasses.fields(step.optimizer)} <= found.keys()


def test_the_digest_is_the_question() -> None:
    """The same for the same question, another after the smallest change of anything that counts."""
    same = dataclasses.replace(case(), name="another name", origin={})
    assert settings_digest(same) == settings_digest(generate(7)) == settings_digest(case())
    ids = case().batch.input_ids.copy()
    ids[0, 0] += 1
    step = case().optimizer
    assert step is not None
    others = [
        _with_parameter(lambda p: np.nextafter(p, 9)),
        dataclasses.replace(case(), batch=dataclasses.replace(case().batch, input_ids=ids)),
        dataclasses.replace(case(), numerics=dataclasses.replace(case().numerics, layer_norm_eps=1e-5)),
        dataclasses.replace(case(), optimizer=dataclasses.replace(step, rate=step.rate * 2)),
        dataclasses.replace(case(), optimizer=None),
        generate(8),
    ]
    assert len({settings_digest(c) for c in [case(), *others]}) == 1 + len(others)


def test_the_tests_case_stays_as_it_is() -> None:
    assert settings_digest(case()) == settings_digest(generate(7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("bin", "hdf5")}, "hdf5.*bin, npy, safetensors"),
        ({"formats": ()}, "bin, npy, safetensors"),
        ({"precision": "int8"}, "int8.*float64"),
    ],
)
def test_wrong_use_writes_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_case(case(), tmp_path / "case", **options)
    assert not list(tmp_path.iterdir())


def test_what_a_folder_does_not_say_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a sentence's embedding can't be written"):
        write_case(dataclasses.replace(case(), embedding=("mean",)), tmp_path / "case")
    assert not (tmp_path / "case").exists()


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write_case(case(), tmp_path / "case")
    assert not list((tmp_path / "case").iterdir())


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", refuse)
    with pytest.raises(InputError, match="No space left"):
        write_case(case(), tmp_path / "case", formats=("bin", "npy"))
    assert not list(tmp_path.iterdir())


def edited(folder: Path, change: Any) -> None:
    """Changes the index of a folder."""
    path = folder / "index.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def _spoil_data(folder: Path) -> None:
    data = bytearray((folder / "parameter.bin").read_bytes())
    data[0] ^= 1
    (folder / "parameter.bin").write_bytes(bytes(data))


SPOILT = {
    "a flipped bit": (_spoil_data, "not those that were exported"),
    "another rate": (lambda f: edited(f, lambda v: v["optimizer"].update(rate=1.0)), "not those that were exported"),
    "no index": (lambda f: [(f / n).unlink() for n in ("index.json", "index.tsv")], "neither index.json nor index.tsv"),
    "half an index": (lambda f: (f / "index.json").write_text('{"format": "ber', encoding="utf-8"), "no JSON"),
    "a list": (lambda f: (f / "index.json").write_text("[]", encoding="utf-8"), '"tensors"'),
    "version 2": (lambda f: edited(f, lambda v: v.update(version=2)), "format version 2; this bertref reads version 1"),
    "no version": (lambda f: edited(f, lambda v: v.pop("version")), "no format version"),
    "answers": (lambda f: edited(f, lambda v: v.update(format="bertref-answers")), "is no case"),
    "a lost parameter": (lambda f: edited(f, lambda v: v["tensors"].pop(0)), "missing bert.embeddings.word_embeddings"),
    "a lost batch field": (lambda f: edited(f, lambda v: v.update(
        tensors=[t for t in v["tensors"] if t["name"] != "input_ids"])), "input_ids"),
    "a lost moment": (lambda f: edited(f, lambda v: v["tensors"].pop()), "moments"),
    "a lost file": (lambda f: (f / "moment.bin").unlink(), "moment.bin does not exist"),
    "a short file": (lambda f: (f / "moment.bin").write_bytes(b"1234"), "word_embeddings.weight/m.*truncated"),
    "no optimiser key": (lambda f: edited(f, lambda v: v.pop("optimizer")), "incomplete or damaged"),
    "a strange optimiser": (lambda f: edited(f, lambda v: v["optimizer"].update(kind="sgd")), "sgd"),
    "a strange dialect": (lambda f: edited(f, lambda v: v["numerics"].update(gelu="fast")), "gelu"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_case_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_case(case(), tmp_path / "case")
    spoil, message = SPOILT[name]
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        read_case(folder)
    assert len(str(caught.value).splitlines()) <= 2


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_case(tmp_path / "nothing")


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
    st.lists(st.integers(-5, 5), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@given(data=st.data())
def test_no_index_brings_the_reader_down(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever stands in one place of the index, the case is read as it was, or refused with a message."""
    folder = _shared(tmp_path_factory)
    text = (folder / "original.json").read_text(encoding="utf-8")
    values = json.loads(text)
    place: Any = values
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [v for v in (place.values() if isinstance(place, dict) else place) if isinstance(v, dict | list) and v]
        if not inner:
            break
        place = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JUNK)
    (folder / "index.json").write_text(json.dumps(values), encoding="utf-8")
    try:
        found = read_case(folder)
    except InputError:
        return
    assert settings_digest(found) == settings_digest(case())


def _shared(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "spoilt-case"
    if not folder.exists():
        write_case(case(), folder)
        (folder / "index.json").rename(folder / "original.json")
    return folder
