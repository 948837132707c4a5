"""Features against transformers' hidden states, in the original's format, streamed, and written whole or not at all."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import bertref
from bertref.errors import InputError
from bertref.inference import features as features_module
from bertref.inference.feature_files import save_jsonl, save_npz, write_jsonl
from bertref.inference.features import Extractor, FeatureOptions, split_line
from bertref.inference.sentence_transformers.modules import EmbeddingModules

from .saved import VOCAB, make

LINES = [
    "It rained. ||| He went in, and wrote the book.",
    "",
    "Ada Lovelace lived in London, in 1852.  ",
    "x",
    "the book ||| ",
    "Who wrote the book? Ada Lovelace wrote the book in London. She lived in New York ||| It rained.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "m"
    make(path, "BertModel")
    return path


@pytest.fixture(scope="module")
def network(folder: Path) -> Any:
    return transformers.BertModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()


def theirs(network: Any, folder: Path, line: str, length: int) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Tokens, hidden states of all layers, pooled output, of one line by itself; cut as the original cuts."""
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    first, bar, second = line.strip().partition(" ||| ")
    a, b = (tokenizer.tokenize(text) for text in (first, second))
    while len(a) + len(b) > length - (3 if bar else 2):
        (a if len(a) > len(b) else b).pop()
    tokens = ["[CLS]", *a, "[SEP]", *([*b, "[SEP]"] if bar else [])]
    types = [0] * (len(a) + 2) + ([1] * (len(b) + 1) if bar else [])
    with torch.no_grad():
        out = network(
            torch.tensor([tokenizer.convert_tokens_to_ids(tokens)]),
            token_type_ids=torch.tensor([types]), output_hidden_states=True,
        )  # fmt: skip
    return tokens, [h[0].numpy() for h in out.hidden_states[1:]], out.pooler_output[0].numpy()


def extractor(folder: Path, *, recipe: EmbeddingModules | None = None, **options: Any) -> Extractor:
    return Extractor(bertref.load(folder, dtype="float64"), recipe, FeatureOptions(**options))


@pytest.mark.parametrize("length", [12, 48])
def test_layers_and_pooled_are_those_of_transformers(folder: Path, network: Any, length: int) -> None:
    mine = extractor(folder, layers=(-1, -2, 0), whole=("pooled", "mean"), max_seq_length=length)
    # 4 stripped: "the book |||" is no pair
    lines = [line for line in LINES if line != "the book ||| "] * 20
    found = list(mine.stream(lines))
    assert len(found) == len(lines)
    for line, one in zip(lines[:5], found, strict=False):
        tokens, hidden, pooled = theirs(network, folder, line, length)
        assert [VOCAB.tokens[i] for i in one.input_ids] == tokens
        for layer in (-1, -2, 0):
            np.testing.assert_allclose(one.layers[layer], hidden[layer], rtol=0, atol=1e-12)
        np.testing.assert_allclose(one.whole["pooled"], pooled, rtol=0, atol=1e-12)
        np.testing.assert_allclose(one.whole["mean"], hidden[-1].mean(axis=0), rtol=0, atol=1e-12)
    assert mine.cut == (60 if length == 12 else 0)
    for i, one in enumerate(found):
        assert one.input_ids == found[i % 5].input_ids


def test_lines_are_split_as_the_original_splits_them() -> None:
    assert split_line("a ||| b\n") == ("a", "b")
    assert split_line("a ||| b ||| c") == ("a ||| b", "c")
    assert split_line("  a ||| ") == ("a |||", None)
    assert split_line("a|||b") == ("a|||b", None)
    assert split_line("") == ("", None)


def test_jsonl_is_the_originals(folder: Path, network: Any) -> None:
    stream = io.StringIO()
    steps: list[int] = []
    mine = extractor(folder, layers=(-1, -2), whole=("mean",))
    assert write_jsonl(mine, LINES, stream, steps.append) == len(LINES) == sum(steps)
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [found["linex_index"] for found in objects] == list(range(len(LINES)))
    for line, found in zip(LINES, objects, strict=True):
        if line == "the book ||| ":
            continue
        tokens, hidden, _ = theirs(network, folder, line, 48)
        assert set(found) == {"linex_index", "features", "mean"}
        assert [feature["token"] for feature in found["features"]] == tokens
        for i, feature in enumerate(found["features"]):
            assert [layer["index"] for layer in feature["layers"]] == [-1, -2]
            for layer in feature["layers"]:
                assert layer["values"] == [round(v, 6) for v in layer["values"]]
                np.testing.assert_allclose(layer["values"], hidden[layer["index"]][i], rtol=0, atol=5.1e-7)
        np.testing.assert_allclose(found["mean"], hidden[-1].mean(axis=0), rtol=1e-12, atol=1e-14)


def test_npz_is_a_rectangle_with_zeros_at_padding(folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"layers": (-1, 0), "whole": ("pooled", "embedding"), "max_seq_length": 20}
    path = tmp_path / "f.npz"
    many = LINES * 15  # more than one chunk
    assert save_npz(extractor(folder, **options), many, path, lambda n: None) == len(many)
    with np.load(path) as arrays:
        got = dict(arrays)
    assert set(got) == {"layer_-1", "layer_0", "pooled", "embedding", "input_ids", "attention_mask"}
    assert got["layer_-1"].shape == (len(many), 20, 24)
    assert got["layer_-1"].dtype == np.float64
    for i, one in enumerate(extractor(folder, **options).stream(many)):
        n = len(one.input_ids)
        assert got["input_ids"][i].tolist() == one.input_ids + [0] * (20 - n)
        assert got["attention_mask"][i].tolist() == [1] * n + [0] * (20 - n)
        for layer in (-1, 0):
            np.testing.assert_allclose(got[f"layer_{layer}"][i, :n], one.layers[layer], rtol=0, atol=1e-13)
            assert not got[f"layer_{layer}"][i, n:].any()
        for name in ("pooled", "embedding"):
            np.testing.assert_allclose(got[name][i], one.whole[name], rtol=0, atol=1e-13)
    assert [file.name for file in tmp_path.iterdir()] == ["f.npz"]


def test_a_failure_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield from ["It rained."] * 200
        raise InputError("line 201: not UTF-8")

    for name, save in (("f.npz", save_npz), ("f.jsonl", save_jsonl)):
        (tmp_path / name).write_text("old")
        with pytest.raises(InputError, match="line 201"):
            save(extractor(folder), lines(), tmp_path / name, lambda n: None)

        def interrupted(count: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            save(extractor(folder), ["It rained."], tmp_path / name, interrupted)
        assert (tmp_path / name).read_text() == "old"
    assert {file.name for file in tmp_path.iterdir()} == {"f.npz", "f.jsonl"}
    with pytest.raises(InputError, match="no texts"):
        save_npz(extractor(folder), [], tmp_path / "f.npz", lambda n: None)


def test_memory_does_not_grow_with_the_texts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "CHUNK", 16)
    mine = extractor(folder, layers=(-1, -2))
    peaks = []
    for count in (64, 640):
        tracemalloc.start()
        for _ in mine.stream("Ada Lovelace lived in London." for _ in range(count)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_lengths_of_whole_vectors(folder: Path) -> None:
    recipe = EmbeddingModules(poolings=("max", "mean"), normalize=True)
    for normalize in (None, True, False):
        mine = extractor(folder, recipe=recipe, layers=(), whole=("cls", "embedding"), normalize=normalize)
        (found,) = mine.stream(["It rained."])
        assert found.layers == {}
        assert found.whole["embedding"].shape == (48,)
        for name, norm in (("cls", normalize is True), ("embedding", normalize is not False)):
            assert (abs(np.linalg.norm(found.whole[name]) - 1) < 1e-12) == norm


def test_the_longest_text(folder: Path) -> None:
    assert extractor(folder).max_length == 48
    assert extractor(folder, recipe=EmbeddingModules(max_length=9)).max_length == 9
    assert extractor(folder, recipe=EmbeddingModules(max_length=900)).max_length == 48
    assert extractor(folder, recipe=EmbeddingModules(max_length=9), max_seq_length=11).max_length == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": (2,)}, "no layer 2; the model has 2, which are -2 to 1"),
        ({"layers": (-3,)}, "no layer -3"),
        ({"whole": ("median",)}, "no pooling 'median'; there are cls, max"),
        ({"max_seq_length": 49}, "maximal length is 49; it must be 3 to 48"),
        ({"max_seq_length": 2}, "maximal length is 2"),
    ],
)
def test_what_is_not_there_is_said(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        extractor(folder, **options)


def test_a_model_without_a_pooler_says_so(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForTokenClassification")
    with pytest.raises(InputError, match="no pooler; choose another pooling: cls"):
        extractor(tmp_path / "m", whole=("pooled",))
