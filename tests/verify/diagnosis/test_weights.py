"""Rounded weights: which ones are named, which gradients belong to them, what else is found beside, what is none."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from bertref.verify.cases.another import another
from bertref.verify.checking import check
from bertref.verify.diagnosis import diagnose as search
from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.trials import rewritten
from bertref.verify.emulation.formats import FORMATS
from bertref.verify.graph.axes import split
from bertref.verify.judgement.judge import judged
from bertref.verify.records import Answers, Diagnosis, Report
from tests.verify.mistakes import MISTAKES
from tests.verify.mistakes.causes import ACCEPTED
from tests.verify.mistakes.embeddings import epsilon
from tests.verify.mistakes.foreign import stored_as
from tests.verify.mistakes.measure import measure, subject
from tests.verify.mistakes.mistake import Mistake, Model, Patch, layers, together

from .applied import asked, right, scene_of, wrong
from .test_hypotheses import by_id

BY_NAME = {one.name: one for one in MISTAKES}
ROUNDED = by_id("weights.rounded")
HALF = (FORMATS["float16"], False)
NORMS = ("embeddings.norm", "layer.0.attention_norm", "layer.0.output", "layer.1.attention_norm", "layer.1.output",
         "mlm.transform")  # fmt: skip


def no_query_bias(model: Model) -> None:
    for layer in layers(model):
        query = layer.attention.self.query
        query.forward = lambda x, query=query: F.linear(x, query.weight) + 0 * query.bias


def verified(*patches: Patch, **options: Any) -> tuple[Report, Diagnosis]:
    """What is said of Hugging Face's model with these changes."""
    report = check(subject(Mistake("", "", "", "", together(*patches))), asked(), **options)
    assert report.diagnosis is not None
    return report, report.diagnosis


def test_gradients_by_rounded_weights_belong_to_them() -> None:
    report, found = verified(stored_as(torch.float16))
    [cause] = found.causes
    assert (cause.id, cause.choice, found.left) == ("weights.rounded", "float16", ())
    assert "With that the computation is right to rounding" in cause.sentence
    wrong_by_itself = {one.name for one in report.findings if one.status in ("added", "wrong")}
    assert set(cause.tensors) >= wrong_by_itself
    assert {split(name)[0] for name in cause.tensors} == {"", "grad"}


@pytest.mark.parametrize("names", [("layer.1.key",), ("mlm.logits", "pooled_pre"), NORMS], ids=lambda names: names[0])
def test_those_that_are_rounded_are_listed(names: Collection[str]) -> None:
    """What isn't rounded contradicts, and is left out; nothing else is."""
    def answers(case: Any) -> Any:
        return wrong(case, ROUNDED, HALF, names)

    report, scene = scene_of(asked(), answers(asked()))
    second = another(asked())
    found = diagnose(report, scene, lambda kind, i: scene_of(second, answers(second))[1])
    [cause] = found.causes
    assert (cause.id, cause.choice, set(cause.tensors), found.left) == ("weights.rounded", "float16", set(names), ())
    assert cause.sentence.startswith("the weights of ")


def word_table_in_float16(model: Model) -> None:
    table = model.bert.embeddings.word_embeddings
    table.forward = lambda ids: F.embedding(ids, table.weight + (table.weight.half() - table.weight).detach())


def test_another_mistake_is_named_where_others_weights_are_rounded() -> None:
    """Formulas of steps whose weights are not rounded find them as they are."""
    _, found = verified(word_table_in_float16, no_query_bias)
    assert ([one.id for one in found.causes], found.left) == (["weights.rounded", "dense.no_bias"], ())


@pytest.mark.parametrize(
    ("change", "id"),
    [pytest.param(epsilon(1e-5), "norm.epsilon", id="norm"), pytest.param(no_query_bias, "dense.no_bias", id="dense")],
)
def test_another_mistake_in_a_step_with_rounded_weights_is_named(change: Callable[[Model], None], id: str) -> None:
    _, found = verified(stored_as(torch.float16), change)
    assert ([one.id for one in found.causes], found.left) == (["weights.rounded", id], ())


def test_it_would_not_be_if_later_formulas_read_the_model_s_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = [replace(one, parameters=None) for one in search.HYPOTHESES]
    monkeypatch.setattr(search, "HYPOTHESES", forgetful)
    _, found = verified(stored_as(torch.float16), epsilon(1e-5))
    assert (found.outcome, found.causes) == ("unknown", ())


def test_they_are_seen_where_the_precision_is_not_declared() -> None:
    """Products by weights of 10 bits look like TF32's; lookups and norms don't."""
    case = asked()
    values = subject(BY_NAME["weights-in-float16"]).answer(case).values
    report, judgement = judged(case, Answers({name: one for name, one in values.items() if not split(name)[0]}), None)
    assert (report.precision, report.first) == ("tf32", "embeddings.word")
    found = diagnose(report, search.Scene(judgement))
    assert ([one.id for one in found.causes], found.left) == (["weights.rounded"], ())


def test_products_of_rounded_factors_are_none() -> None:
    """TF32 rounds what is multiplied with the weights, too."""
    assert ACCEPTED["tf32-products"] == ("dense.tf32",)
    found = measure(BY_NAME["tf32-products"], without_own=True).report.diagnosis
    assert found is not None
    assert (found.outcome, found.causes) == ("unknown", ())
    assert "weights.rounded" in found.ruled_out


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_what_is_held_in_half_precision_has_no_rounded_weights(precision: str) -> None:
    def changed(precision: str) -> set[str]:
        _, scene = scene_of(asked(), right(asked(), precision=precision), precision)
        every = [name for name, row in scene.rows.items() if ROUNDED.applies(row)]
        return set(rewritten(scene, ROUNDED, every, HALF))

    assert changed(precision) == set()
    assert changed("float32") > {"embeddings.word", "layer.0.query", *NORMS}
