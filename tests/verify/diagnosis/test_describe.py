"""Descriptions are true of the tensor that they describe, and said of none that is right."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bertref.verify.diagnosis import beside
from bertref.verify.diagnosis.describe import described
from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.scene import Scene
from bertref.verify.graph.replay import Replay
from bertref.verify.judgement.judge import Judgement, judged
from bertref.verify.judgement.limit import LIMIT
from bertref.verify.records import Answers, Arrays, Case, Look
from bertref.verify.subjects import parse

from .applied import asked

Values = Any
Change = Callable[[Values], Values]
WORDS = "grad:bert.embeddings.word_embeddings.weight"
OUTPUT = "grad:bert.encoder.layer.1.attention.output.dense.weight"
QUERY = "bert.encoder.layer.1.attention.self.query"
RNG = np.random.default_rng(5)
VECTOR = RNG.standard_normal(24)


@cache
def case() -> Case:
    """The case of all these tests: of some words, several tokens."""
    found, ids = asked(), np.arange(5, 67, dtype=np.int32)
    batch = found.batch
    words = np.resize(ids, batch.input_ids.shape)
    words[0, 4], words[2, 3], words[3, 1] = words[2, 0], words[0, 7], words[0, 2]
    return replace(found, batch=replace(batch, input_ids=np.where(batch.attention_mask == 1, words, 0)))


@cache
def values() -> Arrays:
    """What a right subject answers that shows everything."""
    return parse("numpy:dtype=float32,kernels=off").answer(case()).values


@cache
def judgement() -> Judgement:
    return Judgement(case(), "float32", values())


def scene_with(name: str, value: Values) -> Scene:
    """The judgement on somebody whose tensor this is; all others are as they were."""
    other = copy(judgement())
    other.values = {**values(), name: np.asarray(value, values()[name].dtype)}
    other.replay = Replay(other.graph, other.values)
    return Scene(other)


def looks(name: str, value: Values) -> tuple[Look, ...]:
    return described(scene_with(name, value), name)


def tokens() -> dict[str, Values]:
    """(B, S) Kinds of tokens of the case, written down once more."""
    batch = case().batch
    real = batch.attention_mask == 1
    first, last, masked, twice = (np.zeros(real.shape, bool) for _ in range(4))
    for row, length in enumerate(real.sum(axis=1)):
        first[row, 0], last[row, length - 1] = True, True
        for position, weight in zip(batch.masked_lm_positions[row], batch.masked_lm_weights[row], strict=True):
            masked[row, position] |= weight > 0
    words = batch.input_ids[real].tolist()
    for row, position in zip(*np.nonzero(real), strict=True):
        twice[row, position] = words.count(batch.input_ids[row, position]) > 1
    return {"the first token of each text": first, "the last token of each text": last, "the masked tokens": masked,
            "segment B": real & (batch.token_type_ids == 1), "tokens whose word occurs more than once": twice,
            "padding": ~real}  # fmt: skip


def test_the_case_has_tokens_of_every_kind() -> None:
    assert all(0 < kind.sum() < 0.75 * kind.size for kind in tokens().values())


FORMS: dict[str, tuple[str, Change, str, str]] = {
    "a constant": ("layer.1.scores", lambda x: x / 2, "factor",
                   "0.5 times what it should be"),
    "the root of the head size": ("layer.1.scores", lambda x: x * 8**0.5, "factor",
                                  "2.8284 times what it should be; near to sqrt(the head size)"),
    "nearly 1": ("layer.1.scores", lambda x: (1 - 3e-5) * x, "factor", "1-3e-05 times what it should be"),
    "no constant": ("layer.1.scores", lambda x: 0.7 * x, "factor", "0.7 times what it should be"),
    "the sign": ("grad:pooled", lambda x: -x, "factor", "-1 times what it should be"),
    "zeros": (OUTPUT, lambda x: 0 * x, "factor", "0, which it should not be"),
    "another tensor": ("layer.1.key", lambda x: values()["layer.0.key"], "another", "layer.0.key, and should not be"),
    "no signs": ("pooled", np.abs, "sign", "what it should be, with the other sign at 55% of the elements"),
    "transposed": (OUTPUT, lambda x: x.T, "order", "what it should be, with its axes out and in exchanged"),
    "reversed": ("layer.1.ffn_pre", lambda x: x[..., ::-1], "order",
                 "what it should be, with its channels in another order: the last comes first"),
    "interleaved": ("layer.1.query", lambda x: x.reshape(*x.shape[:2], 2, 12).swapaxes(2, 3).reshape(x.shape), "order",
                    "what it should be, with its channels in another order: as if 2 times 12 of them were 12 times 2"),
    "heads shifted": ("layer.1.probs", lambda x: np.roll(x, -1, axis=1), "order",
                      "what it should be, with its heads in another order: 1 further on, in a circle"),
    "a tensor added": ("layer.1.ffn_output", lambda x: x + 0.25 * values()["layer.0.output"], "added",
                       "what it should be and 0.25 times layer.0.output"),
    "a bias left out": ("layer.1.query", lambda x: x - case().params[f"{QUERY}.bias"], "added",
                        f"what it should be and -1 times {QUERY}.bias"),
    "a penalty": (OUTPUT, lambda x: x + 0.01 * case().params[OUTPUT.removeprefix("grad:")], "added",
                  f"what it should be and 0.01 times {OUTPUT.removeprefix('grad:')}"),
    "a vector added": ("layer.1.attention_output", lambda x: x + VECTOR, "offsets",
                       "what it should be and a number for each channel, from -1.7321 to 1.6348"),
    "a factor a row": ("layer.1.value", lambda x: x * np.linspace(1, 2, len(x))[:, None, None], "factors",
                       "what it should be, with a factor for each row, from 1 to 2"),
    "a factor a head": ("layer.1.context", lambda x: x * np.repeat([1.0, 2, 5], 8), "factors",
                        "what it should be, with a factor for each head, from 1 to 5"),
    "a factor a channel": ("layer.1.attention_output", lambda x: x * VECTOR, "factors",
                           "what it should be, with a factor for each channel, from"),
    "a factor a token": ("layer.1.attention_output", lambda x: x * (1 + np.square(x[..., :1])), "factors",
                         "what it should be, with a factor for each token, from"),
    "a curve": ("layer.1.ffn_act", lambda x: np.tanh(values()["layer.1.ffn_pre"]), "curve",
                "another function of layer.1.ffn_pre, element by element: at"),
}  # fmt: skip
"""How a tensor is changed, the kind of form, and how its sentence begins."""


@pytest.mark.parametrize("change", FORMS)
def test_a_form_is_described(change: str) -> None:
    name, changed, kind, words = FORMS[change]
    [found] = looks(name, changed(values()[name].astype(np.float64)))
    assert (found.tensor, found.kind) == (name, kind)
    assert found.sentence.startswith(words)


@pytest.mark.parametrize("change", FORMS)
def test_what_is_nearly_of_a_form_is_not_said_to_be(change: str) -> None:
    """A third of it has another error as well."""
    name, changed, kind, _ = FORMS[change]
    right = values()[name].astype(np.float64)
    found = changed(right)
    noise = np.random.default_rng(1).standard_normal(right.shape) * np.sqrt(np.mean(np.square(found - right)))
    noise[1 : len(right) - len(right) // 3 + 1] = 0
    assert kind not in [look.kind for look in looks(name, found + noise)]


@pytest.mark.parametrize("words", tokens())
@pytest.mark.parametrize("name", ["embeddings.norm", "layer.0.probs"])
def test_a_place_is_described(words: str, name: str) -> None:
    right, kind = values()[name].astype(np.float64), tokens()[words]
    keys = words == "padding"
    if keys and name != "layer.0.probs":
        return  # nothing is asked of padding there
    axes = (1, 2) if keys else (1, 3) if right.ndim == 4 else (2,)
    noise = np.random.default_rng(1).standard_normal(right.shape)
    [place] = looks(name, right + noise * np.expand_dims(kind, axes))
    assert (place.kind, place.sentence) == ("place", f"wrong only at {'keys that are ' * keys}{words}")
    more = kind.copy()
    more[0, 3] = True
    assert not kind[0, 3]
    assert place not in looks(name, right + noise * np.expand_dims(more, axes))


@pytest.mark.parametrize("large", [False, True])
def test_words_of_the_table_are_described(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:
        monkeypatch.setattr(beside, "LARGEST", 0)
        monkeypatch.setattr(beside, "SAMPLED", 400)
    batch, right = case().batch, values()[WORDS].astype(np.float64)
    real, number = batch.attention_mask == 1, np.zeros(len(right), int)
    np.add.at(number, batch.input_ids[real], 1)
    for words, there in {
        "words that occur more than once": number > 1, "words that occur in the texts": number > 0,
        "words that don't occur in the texts": number == 0,
    }.items():  # fmt: skip
        found = looks(WORDS, np.where(there[:, None], 2 * right, right))
        assert [look.sentence for look in found] == [
            f"wrong only at {words}", "2 times what it should be",
        ]  # fmt: skip
    found = looks(WORDS, 2 * right)
    assert [look.kind for look in found] == ["factor"]


def test_of_a_large_table_a_sample_is_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole one only for what the sample looks like: the half that isn't in it is of another factor."""
    right = values()[WORDS].astype(np.float64)
    sampled = np.union1d(np.arange(0, len(right), 4), case().batch.input_ids)
    found = right * np.where(np.isin(np.arange(len(right)), sampled), 2, 3)[:, None]
    noise = right + np.random.default_rng(1).standard_normal(right.shape)
    whole, look = [], beside.Beside.left
    monkeypatch.setattr(beside, "LARGEST", 0)
    monkeypatch.setattr(beside, "SAMPLED", 400)
    monkeypatch.setattr(beside.Beside, "left", lambda self, made: whole.append(self.rows is None) or look(self, made))
    assert looks(WORDS, noise) == ()
    assert whole
    assert not any(whole)
    assert "factor" not in [one.kind for one in looks(WORDS, found)]
    assert any(whole)


def test_a_place_that_is_hardly_wrong_is_not_described() -> None:
    """One of the first tokens has the error; that it is one of these says less than which."""
    right = values()["embeddings.norm"].copy()
    right[0, 0] += VECTOR
    assert "place" not in [look.kind for look in looks("embeddings.norm", right)]


def test_where_a_gradient_is_0_says_nothing_of_its_factor() -> None:
    """What comes back from the pooler, half as large as it should be, stands at first tokens anyway."""
    classified = asked(head="sequence_classification")
    given = parse("numpy:dtype=float32,kernels=off").answer(classified).values
    name, kept = "grad:layer.1.output", ("pooled_pre", "grad:pooled_pre")
    scene = Scene(Judgement(classified, "float32", {name: given[name] / 2} | {one: given[one] for one in kept}))
    assert [look.sentence for look in described(scene, name)] == ["0.5 times what it should be"]


def test_a_loss_is_described_only_by_a_constant() -> None:
    right = values()["loss.mlm"].astype(np.float64)
    [found] = looks("loss.mlm", right / 2)
    assert found.sentence.startswith("0.5 times what it should be")
    assert looks("loss.mlm", right / 2.05) == ()


def test_of_the_same_error_in_half_precision_less_can_be_said() -> None:
    given = {"mlm.logits": values()["mlm.logits"], "loss.mlm": values()["loss.mlm"] / 2}
    scene = Scene(Judgement(case(), "bfloat16", given))
    assert scene.ratio("loss.mlm") > LIMIT
    assert described(scene, "loss.mlm") == ()


def test_nothing_right_is_described() -> None:
    scene = Scene(judgement())
    assert [name for name in scene.judged_names() if described(scene, name)] == []


def test_what_is_not_finite_is_not_described() -> None:
    assert looks("pooled", np.full_like(values()["pooled"], np.nan)) == ()


def test_the_first_tensor_that_remains_unexplained_is_described() -> None:
    """Scores that are halved, with the causes that would explain it left out."""
    name = "layer.0.scores"
    report, made = judged(case(), Answers({**values(), name: values()[name] / 2}), "float32")
    found = diagnose(report, Scene(made), without=("attention.scale", "attention.scaled_twice"))
    assert (found.outcome, found.causes, found.left[0]) == ("unknown", (), name)
    assert [look.tensor for look in found.looks] == [name]
    assert found.looks[0].sentence.startswith("0.5 times")
