"""Padded positions count where real ones attend to them, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.graph.padding import attended_padding
from bertref.verify.judgement.judge import PADDING_ROW, WORDS, compare
from bertref.verify.judgement.reference import reference
from bertref.verify.records import Answers, Arrays

CASE = generate(21)
EVERYWHERE = replace(CASE, batch=replace(CASE.batch, attention_mask=np.ones_like(CASE.batch.attention_mask)))


@pytest.fixture(scope="module")
def ignored() -> Arrays:
    """What an implementation makes that doesn't look at the mask."""
    return reference(EVERYWHERE, dtype="float32").values


def test_padding_is_attended_to_where_the_mask_is_ignored(ignored: Arrays) -> None:
    assert np.array_equal(attended_padding(CASE, ignored), CASE.batch.attention_mask == 0)
    assert attended_padding(CASE, reference(CASE, dtype="float32").values) is None
    assert attended_padding(CASE, {"layer.0.output": ignored["layer.0.output"]}) is None


def test_what_padded_queries_attend_to_is_nothing(ignored: Arrays) -> None:
    right = dict(reference(CASE, dtype="float32").values)
    queries = CASE.batch.attention_mask[:, None, :, None] == 1
    right["layer.0.probs"] = np.where(queries, right["layer.0.probs"], ignored["layer.0.probs"])
    assert attended_padding(CASE, right) is None


@pytest.mark.parametrize("padding_idx", [False, True])
def test_an_ignored_mask_is_wrong_at_the_probabilities_alone(ignored: Arrays, padding_idx: bool) -> None:
    """Forward, backward and in the update: 41 steps were wrong on their own while padding counted for nothing."""
    values = {name: value for name, value in ignored.items() if name[:7] != "update:"}
    if padding_idx:  # as torch has it: the padding's row gets nothing from being looked up
        decoder = values["grad:mlm.logits"].reshape(-1, CASE.config.vocab_size)
        row = decoder[:, CASE.config.pad_token_id] @ values["mlm.transform"].reshape(-1, CASE.config.hidden_size)
        values[WORDS] = values[WORDS].copy()
        values[WORDS][CASE.config.pad_token_id] = row
    report = compare(CASE, Answers(values), "float32")
    layers = range(CASE.config.num_hidden_layers)
    assert [f.name for f in report.findings if f.status == "added"] == [f"layer.{i}.probs" for i in layers]
    assert (PADDING_ROW in report.notes) == padding_idx
    spoilt = values | {WORDS: values[WORDS] * np.float32(1.001)}
    assert [f.status for f in compare(CASE, Answers(spoilt), "float32").findings if f.name == WORDS] == ["added"]
