"""Another case for whoever answered one: other rows, and the same layers, heads and dialect."""

import pytest

from bertref.verify.cases.another import another
from bertref.verify.cases.case import generate, generate_for
from tests.verify.right import random_case


@pytest.mark.parametrize(
    "options",
    [{}, {"head": "multiple_choice"}, {"head": "regression"}, {"dialect": "google"}, {"edge": "full-rows"}],
    ids=str,
)
def test_of_a_generated_case(options: dict[str, str]) -> None:
    first = generate(3, **options) if options else random_case(7)
    second = another(first)
    assert second.batch.input_ids.shape != first.batch.input_ids.shape
    assert second.config.hidden_size != first.config.hidden_size
    assert second.config.num_hidden_layers == first.config.num_hidden_layers
    assert (second.heads, second.objective, second.numerics) == (first.heads, first.objective, first.numerics)
    assert second.optimizer is None
    stepped = another(first, step=True).optimizer
    assert first.optimizer is None or (stepped is not None and stepped.step == first.optimizer.step + 4)
    assert bool(second.batch.attention_mask.all()) is bool(first.batch.attention_mask.all())


def test_of_a_subjects_own_model() -> None:
    made = generate(3)
    first = generate_for(made.config, made.numerics, 4, params=made.params, length=12)
    second = another(first)
    assert all((second.params[name] == value).all() for name, value in first.params.items())
    assert second.batch.input_ids.shape == (len(first.batch) + 1, 11)


def test_of_a_model_that_makes_vectors_of_texts() -> None:
    made = generate(3)
    first = generate_for(made.config, made.numerics, 4, heads=(), embedding=("mean", "unit_length"))
    second = another(first)
    assert (second.embedding, second.objective, second.heads) == (first.embedding, None, ())
