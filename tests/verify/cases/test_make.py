"""Cases as a user asks for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.checkpoint import load_model, save_weights
from bertref.config import Numerics
from bertref.errors import InputError
from bertref.verify.cases.case import generate, replay, rich_parameters
from bertref.verify.cases.make import make_case
from bertref.verify.exchange import settings_digest
from tests.checkpoint.test_folder import make


@pytest.mark.parametrize(
    "options",
    [{}, {"dialect": "google"}, {"edge": "masked-row"}, {"optimizer": "lamb"}, {"optimizer": "none"},
     {"size": "small"}],
    ids=str,
)  # fmt: skip
def test_a_generated_case_is_the_generators(options: dict[str, Any]) -> None:
    theirs = {**options, **({"optimizer": None} if options.get("optimizer") == "none" else {})}
    case = make_case(seed=5, **options)
    assert settings_digest(case) == settings_digest(generate(5, **theirs))
    assert case.origin == generate(5, **theirs).origin


@pytest.mark.parametrize(("optimizer", "kind"), [(None, "adamw"), ("google", "google"), ("lamb", "lamb")])
def test_the_optimizer_of_a_model_may_be_another(tmp_path: Path, optimizer: str | None, kind: str) -> None:
    make(tmp_path / "model", dtype="float32")
    case = make_case(model=tmp_path / "model", optimizer=optimizer)
    assert case.optimizer is not None
    assert case.optimizer.optimizer.kind == kind
    assert case.numerics == Numerics.preset("huggingface")


def test_heads_that_a_model_lacks_are_generated(tmp_path: Path) -> None:
    make(tmp_path / "model", dtype="float32")
    held = load_model(tmp_path / "model").params
    encoder = {name.removeprefix("bert."): array for name, array in held.items() if name.startswith("bert.")}
    save_weights(tmp_path / "model", encoder)
    path = tmp_path / "model" / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "architectures": ["BertModel"]}), encoding="utf-8")
    case = make_case(model=tmp_path / "model", seed=2, texts=["one two", "two"])
    generated = rich_parameters(case.config, 2)
    assert case.params.keys() == generated.keys()
    for name, array in case.params.items():
        wanted = held[name] if name.startswith("bert.") else generated[name]
        assert np.array_equal(array, np.asarray(wanted, np.float64)), name


def test_texts_become_rows(tmp_path: Path) -> None:
    make(tmp_path / "model", dtype="float32")
    case = make_case(model=tmp_path / "model", texts=["one two\tthree", "three"])
    saved = load_model(tmp_path / "model")
    types = case.batch.token_type_ids
    assert len(case.batch) == 2
    assert types[0].sum() == 2
    assert types[1].sum() == 0
    masked = case.batch.input_ids.copy()
    rows, slots = np.nonzero(case.batch.masked_lm_weights)
    masked[rows, case.batch.masked_lm_positions[rows, slots]] = case.batch.masked_lm_ids[rows, slots]
    words = [saved.tokenizer.vocab.tokens[i] for i in masked[0] if i]
    assert words == ["[CLS]", "one", "two", "[SEP]", "three", "[SEP]"]


@pytest.mark.parametrize("of", ["generated", "model", "config"])
def test_the_step_and_fields_of_the_dialect_may_be_chosen(tmp_path: Path, of: str) -> None:
    make(tmp_path / "model", dtype="float32")
    source: dict[str, Any] = {
        "generated": {}, "model": {"model": tmp_path / "model"}, "config": {"config": tmp_path / "model/config.json"}
    }[of]
    fields = {"gelu": "tanh", "mlm_denominator_epsilon": 1e-5}
    case = make_case(**source, step=3, numerics=fields, optimizer="adam-l2")
    assert (case.numerics.gelu, case.numerics.mlm_denominator_epsilon) == ("tanh", 1e-5)
    assert case.optimizer is not None
    assert (case.optimizer.step, case.optimizer.optimizer.kind) == (3, "adam-l2")
    plain = make_case(**source)
    assert plain.optimizer is not None
    assert (plain.optimizer.step, plain.numerics.gelu) == (7, "erf")
    assert case.origin != plain.origin
    assert settings_digest(case) != settings_digest(plain)
    if of == "generated":
        assert settings_digest(replay(case.origin)) == settings_digest(case)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "amsgrad"}, "no optimizer 'amsgrad'; the largest second moment so far"),
        ({"optimizer": "none", "step": 3}, "step 3 of no optimiser"),
        ({"numerics": {"gelu": "x"}}, "gelu is 'x'"),
        ({"size": "huge"}, "no size 'huge'"),
        ({"optimizer": "sgd"}, "no optimizer 'sgd'"),
        ({"texts": ["one"]}, "name the model"),
        ({"config": "c.json", "edge": "masked-row"}, "belongs to generated cases"),
        ({"model": "nowhere"}, "nowhere"),
        ({"config": "nowhere.json"}, "nowhere.json: no such file"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_case(**options)


def test_a_model_too_small_to_ask_is_refused(tmp_path: Path) -> None:
    values = {"vocab_size": 7, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
              "intermediate_size": 4}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match="8 words"):
        make_case(config=tmp_path / "config.json")
