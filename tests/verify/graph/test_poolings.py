"""What the steps make of a text's tokens is what inference makes of them."""

import numpy as np
import pytest

from bertref.config import BertConfig, Numerics
from bertref.inference.sentence_transformers.pooling import MODES
from bertref.topology import POOLINGS, UNIT_LENGTH
from bertref.verify.cases.case import generate_for
from bertref.verify.graph.axes import AxesOf
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.reference import answer_names, reference

CONFIG = BertConfig(vocab_size=31, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=20,
                    max_position_embeddings=9)  # fmt: skip


def test_the_table_has_every_pooling() -> None:
    assert tuple(POOLINGS) == MODES


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), MODES])
def test_both_make_the_same(modes: tuple[str, ...]) -> None:
    case = generate_for(CONFIG, Numerics.preset("huggingface"), 3, heads=(), embedding=(*modes, UNIT_LENGTH))
    found, right = reference(case).values, Replay(Graph(case), {})
    names = [f"sentence.{one}" for one in (*modes, *(["joined"] if len(modes) > 1 else []), "embedding")]
    assert list(found)[-len(names) :] == answer_names(case)[-len(names) :] == names
    assert found["sentence.embedding"].shape == (len(case.batch), len(modes) * CONFIG.hidden_size)
    for name in answer_names(case):
        np.testing.assert_allclose(AxesOf(case)(name).clean(found[name]), right(name), rtol=1e-9, atol=1e-12)
