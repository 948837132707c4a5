"""Mapping files: other names, and every layout, undone here by other means than the reader's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.verify.exchange import read_mapping, transforms
from bertref.verify.exchange.mapping import parse_mapping
from bertref.verify.records import Arrays
from bertref.verify.subjects.dump import DumpSubject

from .folders import case, dump, packed, right, some

A, D = case().config.num_attention_heads, case().config.head_size
PREDICTIONS = np.argwhere(case().batch.masked_lm_weights == 1)
QKV = ("query", "key", "value")
LAYER = "grad:bert.encoder.layer.0."


def unpacked(array: Any) -> Any:
    """What a packed program can know: nothing of the padding."""
    return array * (case().batch.attention_mask == 1)[..., None]


def interleaved(parts: list[Any], axis: int) -> Any:
    """Megatron's order along an axis: q, k and v of head 0, q, k and v of head 1, ..."""
    rows = [np.take(part, range(a * D, (a + 1) * D), axis=axis) for a in range(A) for part in parts]
    return np.concatenate(rows, axis=axis)


def answer(folder: Path, values: Arrays, mapping: dict[str, Any], *, toml: str | None = None) -> Arrays:
    path = folder / ("map.json" if toml is None else "map.toml")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(mapping) if toml is None else toml, encoding="utf-8")
    return DumpSubject(dump(folder / "out", values), mapping=path).answer(case()).values


def equal(found: Arrays, wanted: Arrays) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert np.array_equal(found[name], array), name


def _probs_of(layer: int) -> Any:
    return right()[f"layer.{layer}.probs"]


WEIGHTS = [right()[f"{LAYER}attention.self.{part}.weight"] for part in QKV]
BIASES = [right()[f"{LAYER}attention.self.{part}.bias"] for part in QKV]
ROWS = [right()[f"layer.0.{part}"] for part in QKV]
WEIGHT_NAMES = [f"{LAYER}attention.self.{part}.weight" for part in QKV]
BIAS_NAMES = [f"{LAYER}attention.self.{part}.bias" for part in QKV]
ROW_NAMES = [f"layer.0.{part}" for part in QKV]
CONTEXT, LOGITS = right()["layer.0.context"], right()["mlm.logits"]
B, S = CONTEXT.shape[:2]
FFN = f"{LAYER}intermediate.dense.weight"

LAYOUTS: dict[str, tuple[Any, dict[str, Any], Arrays]] = {
    "transpose": (right()[FFN].T, {"to": FFN, "do": ["transpose"]}, some(FFN)),
    "heads first": (CONTEXT.reshape(B, S, A, D).transpose(0, 2, 1, 3), {"to": "layer.0.context", "do": ["heads_first"]},
                    some("layer.0.context")),
    "packed": (packed(CONTEXT), {"to": "layer.0.context", "do": ["packed"]}, {"layer.0.context": unpacked(CONTEXT)}),
    "packed, heads first": (packed(CONTEXT).reshape(-1, A, D).transpose(1, 0, 2),
                            {"to": "layer.0.context", "do": ["heads_first", "packed"]},
                            {"layer.0.context": unpacked(CONTEXT)}),
    "flat rows": (CONTEXT.reshape(B * S, -1), {"to": "layer.0.context", "do": [{"reshape": ["B", "S", "H"]}]},
                  some("layer.0.context")),
    "rest of a shape": (CONTEXT.reshape(-1), {"to": "layer.0.context", "do": [{"reshape": ["B", 13, -1]}]},
                        some("layer.0.context")),
    "sequence first": (CONTEXT.transpose(1, 0, 2), {"to": "layer.0.context", "do": [{"permute": [1, 0, 2]}]},
                       some("layer.0.context")),
    "scaled": (right()["layer.0.scores"] * 4, {"to": "layer.0.scores", "do": [{"scale": 0.25}]},
               some("layer.0.scores")),
    "predictions": (np.stack([LOGITS[b, p] for b, p in PREDICTIONS]), {"to": "mlm.logits", "do": ["predictions"]},
                    {"mlm.logits": LOGITS * case().batch.masked_lm_weights[..., None]}),
    "gather": (CONTEXT, {"to": "mlm.transform", "do": ["gather"]},
               {"mlm.transform": np.take_along_axis(CONTEXT, case().batch.masked_lm_positions[..., None], 1)}),
    "fused weights": (np.concatenate(WEIGHTS), {"to": WEIGHT_NAMES, "split": "blocks"},
                      dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True))),
    "fused weights (in, out)": (np.concatenate(WEIGHTS).T, {"to": WEIGHT_NAMES, "split": "blocks", "do": "transpose"},
                                dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True))),
    "Megatron's weights": (interleaved(WEIGHTS, 0), {"to": WEIGHT_NAMES, "split": "heads"},
                           dict(zip(WEIGHT_NAMES, WEIGHTS, strict=True))),
    "Megatron's biases": (interleaved(BIASES, 0), {"to": BIAS_NAMES, "split": "heads"},
                          dict(zip(BIAS_NAMES, BIASES, strict=True))),
    "fused activations": (np.concatenate(ROWS, -1), {"to": ROW_NAMES, "split": "blocks"},
                          dict(zip(ROW_NAMES, ROWS, strict=True))),
    "Megatron's packed activations": (packed(interleaved(ROWS, 2)),
                                      {"to": ROW_NAMES, "split": "heads", "do": ["packed"]},
                                      {name: unpacked(row) for name, row in zip(ROW_NAMES, ROWS, strict=True)}),
    "stacked": (np.stack(ROWS, 2), {"to": ROW_NAMES, "split": "blocks", "axis": 2,
                                    "do": [{"reshape": ["B", "S", -1]}]}, dict(zip(ROW_NAMES, ROWS, strict=True))),
}  # fmt: skip

@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_undone(tmp_path: Path, name: str) -> None:
    value, rule, wanted = LAYOUTS[name]
    equal(answer(tmp_path, {"theirs": value}, {"tensors": {"theirs": rule}}), wanted)


def test_a_wrong_layout_does_not_pass_for_the_right_one(tmp_path: Path) -> None:
    """The order of heads matters: the tests above could not tell it otherwise."""
    found = answer(tmp_path, {"theirs": interleaved(WEIGHTS, 0)},
                   {"tensors": {"theirs": {"to": WEIGHT_NAMES, "split": "blocks"}}})  # fmt: skip
    assert not any(np.array_equal(found[name], weight) for name, weight in zip(WEIGHT_NAMES, WEIGHTS, strict=True))


def test_weights_in_out_turns_gradients_and_updates_of_dense_weights_only(tmp_path: Path) -> None:
    names = [name for name in right() if name.startswith(("grad:bert", "grad:cls", "update:"))]
    values = {n: right()[n].T if right()[n].ndim == 2 and "embeddings" not in n else right()[n] for n in names}
    probes = some("pooled", "grad:nsp.logits", "layer.0.output")
    equal(answer(tmp_path, {**values, **probes}, {"weights": "in,out"}), some(*names, *probes))


def test_words_in_names(tmp_path: Path) -> None:
    toml = """
    ignore = ["debug.*", "step"]
    [tensors]
    "h.{layer}.p" = "layer.{layer}.probs"
    "d_{parameter}" = "grad:{parameter}"
    "h.1.p" = "layer.1.scores"
    """
    values = {"h.0.p": _probs_of(0), "h.1.p": right()["layer.1.scores"], "debug.x": np.zeros(3), "step": np.zeros(()),
              "d_cls.predictions.bias": right()["grad:cls.predictions.bias"], "pooled": right()["pooled"]}  # fmt: skip
    found = answer(tmp_path, values, {}, toml=toml)
    equal(found, some("layer.0.probs", "layer.1.scores", "grad:cls.predictions.bias", "pooled"))


def test_a_word_may_stand_twice() -> None:
    mapping = parse_mapping({"tensors": {"{layer}/q{layer}": "layer.{layer}.query"}})
    rule = mapping.find("3/q3")
    assert rule is not None
    assert rule.to == ("layer.3.query",)
    assert mapping.find("3/q4") is None
    assert mapping.find("x/qx") is None


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        'weights = "in, out"\n[tensors."{layer}.qkv"]\nto = ["layer.{layer}.query", "layer.{layer}.key"]\n'
        'split = "heads"\ndo = ["packed", {scale = 2}]\n', encoding="utf-8",
    )  # fmt: skip
    rule = {"to": ["layer.{layer}.query", "layer.{layer}.key"], "split": "heads", "do": ["packed", {"scale": 2}]}
    values = {"weights": "in, out", "tensors": {"{layer}.qkv": rule}}
    (tmp_path / "map.json").write_text(json.dumps(values), encoding="utf-8")
    one, two = read_mapping(tmp_path / "map.toml"), read_mapping(tmp_path / "map.json")
    assert (one.rules, one.in_out, one.ignore) == (two.rules, two.in_out, two.ignore)


def _rule(**rule: Any) -> dict[str, Any]:
    return {"tensors": {"theirs": rule}}


BAD = {
    "a list": ([], "table with \\[tensors\\]"),
    "tensors as a list": ({"tensors": []}, "table with \\[tensors\\]"),
    "an unknown key": ({"tensor": {}}, "unknown key 'tensor'"),
    "another version": ({"version": 2}, "version 2"),
    "weights": ({"weights": "in"}, '"in,out" or "out,in"'),
    "ignore": ({"ignore": "x"}, "ignore is 'x'"),
    "no name": (_rule(do=["packed"]), "'theirs': a canonical name"),
    "a number": ({"tensors": {"theirs": 1}}, "'theirs': a canonical name"),
    "an empty list of names": (_rule(to=[]), "'theirs': `to` is"),
    "an unknown rule": (_rule(to="pooled", transpose=True), "'theirs': unknown key 'transpose'"),
    "an unknown step": (_rule(to="pooled", do=["transposed"]), "'theirs': no step 'transposed'; there are transpose"),
    "an unknown letter": (_rule(to="pooled", do=[{"reshape": ["B", "X"]}]), "no step"),
    "a negative size": (_rule(to="pooled", do=[{"reshape": [-2]}]), "no step"),
    "a scale in words": (_rule(to="pooled", do=[{"scale": "2"}]), "no step"),
    "an infinite scale": (_rule(to="pooled", do=[{"scale": float("inf")}]), "no step"),
    "axes in words": (_rule(to="pooled", do=[{"permute": "210"}]), "no step"),
    "two names and no split": (_rule(to=["pooled", "pooled_pre"]), "need split"),
    "a split of one name": (_rule(to="pooled", split="heads"), "need split"),
    "an unknown split": (_rule(to=["pooled", "pooled_pre"], split="rows"), "need split"),
    "an axis in words": (_rule(to=["pooled", "pooled_pre"], split="heads", axis="x"), "axis is 'x'"),
    "an axis without split": (_rule(to="pooled", axis=0), "axis is 0"),
    "an unknown word": ({"tensors": {"q.{layer}": "layer.{i}.query"}}, r"has \{i\}, which its own name does not"),
    "a lonely brace": ({"tensors": {"q.{layer": "layer.0.query"}}, "a brace"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mapping_that_is_not_understood_is_refused(name: str) -> None:
    values, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        parse_mapping(values)
    assert len(str(caught.value).splitlines()) == 1


MISFITS = {
    "packed": ("layer.0.query", ["packed"], "'theirs': packed does not fit its shape .*28 real tokens"),
    "predictions": ("mlm.logits", ["predictions"], "'theirs': predictions does not fit.*9 real predictions"),
    "heads_first": ("layer.0.query", ["heads_first"], "'theirs': heads_first does not fit"),
    "gather": ("pooled", ["gather"], "'theirs': gather does not fit"),
    "reshape": ("layer.0.query", [{"reshape": ["B", 7]}], "'theirs': reshape .* does not fit its shape"),
    "permute": ("layer.0.query", [{"permute": [0, 0, 1]}], "'theirs': permute .* does not fit its shape"),
    "permute too far": ("layer.0.query", [{"permute": [0, 1, 2, 3]}], "'theirs': permute .* does not fit its shape"),
    "transpose": ("pooled", [{"reshape": [-1]}, "transpose"], "'theirs': transpose does not fit.*two axes"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_step_that_does_not_fit_is_named(tmp_path: Path, name: str) -> None:
    to, do, message = MISFITS[name]
    value = right()["pooled" if to == "pooled" else "layer.0.ffn_pre"]
    with pytest.raises(InputError, match=message):
        answer(tmp_path, {"theirs": value}, {"tensors": {"theirs": {"to": to, "do": do}}})


@pytest.mark.parametrize(
    ("values", "mapping", "message"),
    [
        ({"q": ROWS[0]}, {"tensors": {"q": "layer.9.query"}}, "'q' becomes 'layer.9.query', which is no name"),
        ({"q": ROWS[0], "p": ROWS[0]}, {"tensors": {"q": "layer.0.query", "p": "layer.0.query"}}, "both stand for"),
        ({"q": ROWS[0]}, {"ignore": ["*"]}, "no tensor to compare"),
        ({"q": ROWS[0]}, {"tensors": {"q": {"to": ROW_NAMES, "split": "blocks", "axis": 1}}}, "can't be split into 3"),
        ({"q": ROWS[0]}, {"tensors": {"q": {"to": ROW_NAMES, "split": "blocks", "axis": 3}}}, "along axis 3"),
        ({"q": ROWS[0]}, {"tensors": {"q": {"to": ROW_NAMES[:2], "split": "heads", "axis": 0}}}, "for each of 3 heads"),
    ],
    ids=["no name", "two for one", "all ignored", "not divisible", "no axis", "heads"],
)
def test_a_mapping_that_does_not_fit_the_dump(
    tmp_path: Path, values: Arrays, mapping: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        answer(tmp_path, values, mapping)


def test_a_mapping_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_mapping(tmp_path / "nothing.toml")
    for name, text in (("bad.toml", "= 1"), ("bad.json", "{"), ("toml.json", "[tensors]\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=f"{name}: can't be read"):
            read_mapping(tmp_path / name)


@given(parts=st.integers(1, 4), heads=st.integers(1, 4), width=st.integers(1, 3), axis=st.integers(0, 2),
       order=st.sampled_from(["blocks", "heads"]), negative=st.booleans())  # fmt: skip
def test_a_split_undoes_every_fusion(
    parts: int, heads: int, width: int, axis: int, order: str, negative: bool
) -> None:
    """By index: element (h, w) of part p stands at place (p, h, w) for blocks and at (h, p, w) for heads."""
    shape = [2, 3, 2]
    shape[axis] = parts * heads * width
    fused = np.arange(np.prod(shape)).reshape(shape)
    found = transforms.split(fused, parts, order, axis - 3 if negative else axis, heads, "here")
    moved = np.moveaxis(fused, axis, 0)
    for p in range(parts):
        for h in range(heads):
            for w in range(width):
                place = (p * heads + h) * width + w if order == "blocks" else (h * parts + p) * width + w
                assert np.array_equal(np.moveaxis(found[p], axis, 0)[h * width + w], moved[place])


FITTING = {"h.{layer}.{part}": "layer.{layer}.{part}", "h.{layer}.q{x}": "layer.{layer}.query", "{any}": "grad:{any}"}


@pytest.mark.parametrize("names", [list(FITTING), list(reversed(FITTING))], ids=["down", "up"])
def test_the_closest_line_is_meant_wherever_it_stands(names: list[str]) -> None:
    mapping = parse_mapping({"tensors": {name: FITTING[name] for name in names}})
    found = {name: mapping.find(name) for name in ("h.1.query", "h.1.key", "pooled")}
    assert {name: rule.to for name, rule in found.items() if rule} == {
        "h.1.query": ("layer.1.query",), "h.1.key": ("layer.1.key",), "pooled": ("grad:pooled",)}  # fmt: skip


def test_two_lines_that_fit_alike_are_an_error(tmp_path: Path) -> None:
    lines = {"h.{layer}.{part}": "layer.{layer}.{part}", "{x}.1.{y}": "layer.1.{y}"}
    rules = parse_mapping({"tensors": {**lines, "{x}.q.{y}": "layer.0.{y}"}})
    with pytest.raises(InputError, match=r"'a.1.q.b' fits '\{x\}.1.\{y\}' and '\{x\}.q.\{y\}' equally well"):
        rules.find("a.1.q.b")
    with pytest.raises(InputError, match=r"map.json: .*equally well; write a line for the name itself, or ignore it"):
        answer(tmp_path, {"h.1.query": right()["layer.1.query"], "a.1.q.b": right()["pooled"]},
               {"tensors": {"{x}.1.{y}": "layer.1.{y}", "{x}.q.{y}": "layer.0.{y}"}})  # fmt: skip
