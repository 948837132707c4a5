"""What fine-tuning writes is transformers' own: its classes open it, give the same logits, and its pipelines the same
labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import bertref
from bertref import heads
from bertref.inference.loaded import encode
from bertref.inference.multiple_choice import choice_logits
from bertref.inference.sequence_classification import logits_of
from bertref.inference.token_classification import piece_logits

from . import tiny
from .running import cache  # noqa: F401

TEXTS = ["Ada Lovelace lived in London, in 1852.", "It rained; he went to New York (the city).", "who wrote", "book"]
TOLERANCES = {"float32": 1e-5, "float64": 1e-10}
KINDS = [
    ("classification", tiny.TEXTS, "AutoModelForSequenceClassification"),
    ("regression", tiny.NUMBERS, "AutoModelForSequenceClassification"),
    ("multi-label", tiny.SEVERAL, "AutoModelForSequenceClassification"),
    ("token-classification", tiny.SENTENCES, "AutoModelForTokenClassification"),
    ("multiple-choice", tiny.CHOICES, "AutoModelForMultipleChoice"),
    ("question-answering", tiny.QUESTIONS, "AutoModelForQuestionAnswering"),
]
"""Kind, what it learns from, and the class that opens the result."""
UNLABELLED = ("multiple-choice", "question-answering")

each_kind = pytest.mark.parametrize(("kind", "data", "opener"), KINDS, ids=[kind for kind, _, _ in KINDS])


def opened(folder: Path, opener: str, precision: str) -> Any:
    """Transformers' model, which has to have found every weight."""
    network, report = getattr(transformers, opener).from_pretrained(
        folder, dtype=getattr(torch, precision), attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    return network.eval()


def theirs(network: Any, encodings: list[Any]) -> list[np.ndarray]:
    """Logits of each sequence, alone in its batch; of a choice, alone among one."""
    single = type(network).__name__ == "BertForMultipleChoice"
    found = []
    for ids, types in encodings:
        arguments = {"input_ids": torch.tensor([ids]), "token_type_ids": torch.tensor([types])}
        if single:
            arguments = {name: value[None] for name, value in arguments.items()}
        with torch.no_grad():
            out = network(**arguments)
        logits = torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits
        found.append(logits[0].numpy())
    return found


def span_logits(model: Any, encodings: list[Any]) -> list[np.ndarray]:
    rows = [heads.question_answering_forward(model.ops, model.params, encode(model, [each])[0].sequence)[0]
            for each in encodings]  # fmt: skip
    return [model.ops.xp.to_numpy(row) for row in rows]


OURS: dict[str, Any] = {
    "BertForQuestionAnswering": span_logits,
    "BertForSequenceClassification": logits_of,
    "BertForTokenClassification": piece_logits,
    "BertForMultipleChoice": lambda model, encodings: choice_logits(model, encodings)[:, None],
}


@pytest.mark.parametrize("precision", TOLERANCES)
@each_kind
def test_transformers_gives_the_same_logits(tmp_path: Path, kind: str, data: str, opener: str, precision: str) -> None:
    result = tiny.run(tmp_path, kind, data, precision=precision)
    network = opened(result.out, opener, precision)
    model = bertref.load(result.out, dtype=precision)
    assert model.labels == tuple(network.config.id2label.values()) or kind in UNLABELLED
    encodings = model.tokenizer.encode_batch(TEXTS, TEXTS[::-1])
    logits = OURS[type(network).__name__](model, encodings)
    scale = max(float(np.abs(rows).max()) for rows in logits)
    for ours, want in zip(logits, theirs(network, encodings), strict=True):
        np.testing.assert_allclose(ours, want, rtol=0, atol=TOLERANCES[precision] * scale)


def test_the_text_pipeline_gives_the_same_labels(tmp_path: Path) -> None:
    result = tiny.run(tmp_path, "classification", tiny.TEXTS)
    pipeline = transformers.pipeline("text-classification", model=str(result.out), dtype=torch.float64, device="cpu")
    ours = [scores[0] for scores in bertref.load(result.out, dtype="float64").classify_batch(TEXTS)]
    found = pipeline(TEXTS)
    assert [each["label"] for each in found] == [each.label for each in ours]
    assert [each["score"] for each in found] == pytest.approx([each.score for each in ours], rel=1e-6)


def test_the_token_pipeline_gives_the_same_labels(tmp_path: Path) -> None:
    result = tiny.run(tmp_path, "token-classification", tiny.SENTENCES, steps=20)
    model, seen = bertref.load(result.out, dtype="float64"), set()
    for aggregation, strategy in (("tokens", "none"), ("entities", "first")):
        pipeline: Any = transformers.pipeline(
            "token-classification", model=str(result.out), dtype=torch.float64, device="cpu",
            aggregation_strategy=strategy, **({"ignore_labels": []} if strategy == "none" else {}),
        )  # fmt: skip
        key = "entity" if strategy == "none" else "entity_group"
        for text in TEXTS:
            ours = model.tag(text, aggregation=aggregation)  # type: ignore[arg-type]
            assert [(w["start"], w["end"], w[key]) for w in pipeline(text)] == [(s.start, s.end, s.label) for s in ours]
            seen |= {span.label for span in ours}
    assert len(seen) > 1
