"""What the steps make of a text's tokens is what inference makes of them."""

import numpy as np
import pytest

from bertref.config import BertConfig, Numerics
from bertref.inference.sentence_transformers.pooling import MODES
from bertref.topology import POOLINGS, UNIT_LENGTH
from bertref.verify.cases.another import another
from bertref.verify.cases.case import generate_for
from bertref.verify.cases.shrink import reduce_case
from bertref.verify.graph.axes import AxesOf
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.reference import answer_names, reference
from bertref.verify.records import Case

CONFIG = BertConfig(vocab_size=31, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=20,
                    max_position_embeddings=9)  # fmt: skip


def test_the_table_has_every_pooling() -> None:
    assert tuple(POOLINGS) == MODES


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), MODES])
def test_both_make_the_same(modes: tuple[str, ...]) -> None:
    case = generate_for(CONFIG, Numerics.preset("huggingface"), 3, heads=(), embedding=(*modes, UNIT_LENGTH))
    found = reference(case).values
    names = [f"sentence.{one}" for one in (*modes, *(["joined"] if len(modes) > 1 else []), "embedding")]
    assert list(found)[-len(names) :] == answer_names(case)[-len(names) :] == names
    assert found["sentence.embedding"].shape == (len(case.batch), len(modes) * CONFIG.hidden_size)
    assert_both_make(case)


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu"])
@pytest.mark.parametrize("biased", [True, False])
def test_layers_on_the_vector(activation: str, biased: bool) -> None:
    draw = np.random.default_rng(5)
    layers = {"sentence.dense.0.weight": draw.normal(size=(7, 24)), "sentence.dense.1.weight": draw.normal(size=(9, 7))}
    if biased:
        layers["sentence.dense.0.bias"] = draw.normal(size=7)
    steps = ("cls", "mean", f"dense.{activation}", "dense.identity", UNIT_LENGTH)
    case = generate_for(CONFIG, Numerics.preset("huggingface"), 3, heads=(), embedding=steps, layers=layers)
    found = reference(case).values
    x = found["sentence.joined"] @ layers["sentence.dense.0.weight"].T + layers.get("sentence.dense.0.bias", 0)
    want = {"identity": x, "tanh": np.tanh(x), "relu": np.maximum(x, 0)}[activation]
    np.testing.assert_allclose(found["sentence.dense.0"], want, rtol=1e-12)
    assert found["sentence.embedding"].shape == (len(case.batch), 9)
    assert_both_make(case)
    assert_both_make(another(case))
    assert_both_make(reduce_case(case, rows=[0, 2], length=4))


def assert_both_make(case: Case) -> None:
    found, right = reference(case).values, Replay(Graph(case), {})
    for name in answer_names(case):
        np.testing.assert_allclose(AxesOf(case)(name).clean(found[name]), right(name), rtol=1e-9, atol=1e-12)
