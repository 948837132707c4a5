"""A case is rich where fresh weights are poor, and its origin makes it again."""

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.heads import check, parameter_shapes
from bertref.verify.cases.case import SIZES, describe, from_model, generate, generate_for, replay
from bertref.verify.cases.shrink import reduce_case, shrink


@pytest.mark.parametrize("size", ["tiny", "small", "medium"])
def test_a_case_fits_its_config(size: str) -> None:
    case = generate(3, size=size)
    case.batch.validate(case.config)
    check(case.params, case.config)
    assert {n.rsplit("/", 1)[0] for n in case.optimizer.moments} == set(parameter_shapes(case.config))


@pytest.mark.parametrize("seed", range(5))
def test_nothing_in_a_case_is_without_effect(seed: int) -> None:
    case = generate(seed)
    batch = case.batch
    for name, value in case.params.items():
        neutral = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        assert np.abs(value - neutral).max() > 0.01, name
        assert (value == value.astype(np.float32)).all()
    lengths = batch.attention_mask.sum(axis=1)
    assert lengths.max() == case.config.max_position_embeddings
    assert lengths.min() == 1
    assert len(set(lengths.tolist())) >= 3
    counts = batch.masked_lm_weights.sum(axis=1)
    assert counts.min() == 0
    assert len(set(counts.tolist())) >= 3
    real = batch.attention_mask == 1
    assert set(batch.token_type_ids[real].tolist()) == {0, 1}
    assert len(np.unique(batch.input_ids[real])) < real.sum()
    assert set(batch.next_sentence_label.tolist()) == {0, 1}
    assert case.config.hidden_dropout_prob > 0  # so that whoever forgets to switch dropout off is found
    assert case.config.pad_token_id not in batch.input_ids[real]


def test_the_origin_makes_the_case_again() -> None:
    for case in (
        generate(11, dialect="google", edge="large-scores"),
        reduce_case(generate(12), rows=[0, 3], length=7, layers=1),
    ):
        again = replay(case.origin)
        assert again.name == case.name
        assert all((again.params[n] == v).all() for n, v in case.params.items())
        assert all((getattr(again.batch, n) == v).all() for n, v in case.batch.items())
        assert again.params.keys() == case.params.keys()


def test_seeds_differ() -> None:
    a, b = generate(1), generate(2)
    assert all((a.params[name] != b.params[name]).any() for name in a.params)


def test_the_masked_row_has_no_token() -> None:
    case = generate(1, edge="masked-row")
    assert case.batch.attention_mask[-1].sum() == 0
    assert case.batch.masked_lm_weights[-1].sum() == 0


def test_padding_in_front_moves_rows_with_their_predictions() -> None:
    usual, case = (generate(1, variant="roberta", edge=edge) for edge in ("", "padded-left"))
    S = case.batch.input_ids.shape[1]
    lengths = usual.batch.attention_mask.sum(axis=1)
    assert lengths[2] < S, "the third row has padding"
    for b, length in enumerate(lengths.tolist()):
        start = S - length if b % 3 == 2 else 0
        assert np.flatnonzero(case.batch.attention_mask[b]).tolist() == list(range(start, start + length))
        tokens = case.batch.input_ids[b, start : start + length]
        assert np.array_equal(tokens, usual.batch.input_ids[b, :length])
        asked = usual.batch.masked_lm_weights[b] > 0
        before, after = (one.batch.masked_lm_positions[b, asked] for one in (usual, case))
        assert np.array_equal(after, before + start)
    padded = case.batch.input_ids[case.batch.attention_mask == 0]
    assert set(padded.tolist()) == {case.config.pad_token_id}


def test_albert_s_own_numbers() -> None:
    usual, other = generate(1, variant="albert"), generate(1, variant="albert", E=24, G=2, L=4)
    assert (usual.config.embedding_size, usual.config.stored_layers) == (16, 1)
    assert (other.config.embedding_size, other.config.stored_layers) == (24, 2)


def test_a_description_is_json() -> None:
    import json

    text = json.dumps(describe(generate(1)))
    assert json.loads(text)["origin"]["seed"] == 1


def test_a_case_for_a_subject_s_weights() -> None:
    config, numerics = generate(1).config, generate(1).numerics
    own = {"bert.pooler.dense.bias": np.full(config.hidden_size, 0.1)}
    case = generate_for(config, numerics, 4, params=own)
    assert (case.params["bert.pooler.dense.bias"] == np.float64(np.float32(0.1))).all()
    with pytest.raises(InputError, match=r"pooler\.dense\.bias has shape"):
        generate_for(config, numerics, 4, params={"bert.pooler.dense.bias": np.zeros(3)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "no size 'huge'"),
        ({"heads": 3}, "no option heads"),
        ({"edge": "cliff"}, "no edge 'cliff'"),
        ({"S": 2}, "3 tokens"),
        ({"H": 25}, "multiple of num_attention_heads"),
        ({"E": 8}, "E and G are of ALBERT's layers; BERT has no such numbers"),
        ({"variant": "albert", "edge": "padded-left"}, "padded-left is for masked_lm and token_classification; pretra"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(1, **options)


def test_every_size_has_the_same_letters() -> None:
    assert len({tuple(size) for size in SIZES.values()}) == 1


def test_shrink_keeps_only_what_the_failure_needs() -> None:
    """A failure that needs one layer, two predictions and the row that has them."""
    case = generate(5)

    def fails(smaller):
        return smaller.config.num_hidden_layers >= 1 and smaller.batch.masked_lm_weights.sum() >= 2

    small = shrink(case, fails)
    assert fails(small)
    assert small.config.num_hidden_layers == 1
    assert len(small.batch) == 1
    assert small.batch.masked_lm_weights.sum() == 2
    assert small.optimizer is None
    assert set(small.params) == set(parameter_shapes(small.config))
    assert replay(small.origin).batch.input_ids.shape == small.batch.input_ids.shape


def test_shrink_of_a_case_that_can_t_get_smaller_is_the_case() -> None:
    case = generate(5)
    assert shrink(case, lambda smaller: False) is case


def test_reducing_twice_is_refused() -> None:
    with pytest.raises(InputError, match="reduced already"):
        reduce_case(reduce_case(generate(1), rows=[0]), rows=[0])


def own_tokenizer():
    from bertref.text import SPECIAL_TOKENS, Tokenizer, Vocab

    words = [chr(97 + i) + chr(97 + j) for i in range(8) for j in range(7)]
    return Tokenizer(Vocab((*SPECIAL_TOKENS, *words), source="test"))


TEXTS = ["aa bb cc dd ee ff gg", "ha\tab bc cd", "aa", "ab " * 40]


def test_a_case_of_the_user_s_model_and_texts() -> None:
    tokenizer = own_tokenizer()
    base = generate(1, V=tokenizer.vocab.size)
    case = from_model(base.params, base.config, base.numerics, tokenizer, TEXTS, 5)
    case.batch.validate(case.config)
    assert case.batch.attention_mask.sum(axis=1).tolist() == [9, 7, 3, 13]  # the last one was cut
    assert case.batch.token_type_ids[1].sum() == 3 + 1
    assert (case.batch.masked_lm_weights.sum(axis=1) >= 1).all()
    hidden = case.batch.input_ids == tokenizer.vocab.mask
    assert hidden.any()
    again = from_model(base.params, base.config, base.numerics, tokenizer, TEXTS, 5)
    assert again.origin == case.origin
    assert (again.batch.input_ids == case.batch.input_ids).all()
    other = from_model(base.params, base.config, base.numerics, tokenizer, TEXTS[:2], 5)
    assert other.origin["digest"] != case.origin["digest"]
    with pytest.raises(InputError, match="made from a model"):
        replay(case.origin)


def test_weights_that_do_not_fit_and_no_texts_are_refused() -> None:
    tokenizer = own_tokenizer()
    base = generate(1, V=tokenizer.vocab.size)
    with pytest.raises(InputError, match="no texts"):
        from_model(base.params, base.config, base.numerics, tokenizer, [], 5)
    less = {name: value for name, value in base.params.items() if name != "cls.predictions.bias"}
    with pytest.raises(InputError, match="missing cls"):
        from_model(less, base.config, base.numerics, tokenizer, TEXTS, 5)
