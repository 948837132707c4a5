"""Sentence embeddings, pooled and normalised by somebody's own torch code on Hugging Face's encoder."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bertref.config import config_from_dict
from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.report.words import explain
from bertref.verify.subjects.python import PythonSubject

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CASE = generate(9, head="sentence_embedding", optimizer=None, L=1)
Pool = Callable[[Any, Any], Any]


def mean(x: Any, mask: Any) -> Any:
    """x (B, S, H), mask (B, S, 1)."""
    return (x * mask).sum(1) / mask.sum(1)


def unit(x: Any) -> Any:
    return torch.nn.functional.normalize(x, dim=-1)


def subject(pool: Pool = mean, norm: Callable[[Any], Any] = unit) -> PythonSubject:
    from bertref.verify.subjects import torch_model

    def forward(case: dict[str, Any]) -> dict[str, Any]:
        config, numerics = config_from_dict(case["config"])
        made = torch_model.huggingface_config(config, numerics)
        model = torch_model.transformers().BertModel(made, add_pooling_layer=False).eval()
        weights = {name.removeprefix("bert."): torch.tensor(p) for name, p in case["params"].items()}
        model.load_state_dict(weights, strict=False)
        batch = {name: torch.tensor(case["batch"][name], dtype=torch.int64)
                 for name in ("input_ids", "attention_mask", "token_type_ids")}  # fmt: skip
        x = model(**batch).last_hidden_state
        pooled = pool(x, batch["attention_mask"][..., None].to(x.dtype))
        embedding = norm(pooled)
        seen = {"layer.0.output": x, "sentence.mean": pooled, "sentence.embedding": embedding}
        for value in seen.values():
            value.retain_grad()
        embedding.backward(torch.tensor(case["targets"]["upstream.sentence"]))
        gradients = {f"grad:{name}": value.grad for name, value in seen.items()}
        gradients |= {f"grad:bert.{name}": p.grad for name, p in model.named_parameters()}
        return {**seen, **gradients}

    return PythonSubject(forward, name="sentences")


def test_right_code_is_right() -> None:
    report = check(subject(), CASE)
    assert report.verdict == "right", explain(report)
    assert sum(finding.status == "right" for finding in report.findings) > 20


@pytest.mark.parametrize(
    ("name", "wrong", "first"),
    [
        ("padding in the mean", {"pool": lambda x, mask: x.mean(1)}, "sentence.mean"),
        ("the first token", {"pool": lambda x, mask: x[:, 0]}, "sentence.mean"),
        ("a root of the count", {"pool": lambda x, mask: (x * mask).sum(1) / mask.sum(1).sqrt()}, "sentence.mean"),
        ("no length taken out", {"norm": lambda x: 1 * x}, "sentence.embedding"),
        ("another norm", {"norm": lambda x: x / x.abs().sum(-1, keepdim=True)}, "sentence.embedding"),
        ("a length without a gradient", {"norm": lambda x: x / x.detach().norm(dim=-1, keepdim=True)},
         "grad:sentence.mean"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_where_it_is(name: str, wrong: dict[str, Any], first: str) -> None:
    report = check(subject(**wrong), CASE)
    assert (report.verdict, report.first) == ("diverges", first), explain(report)


def test_the_given_gradient_reaches_the_embeddings() -> None:
    upstream = CASE.targets["upstream.sentence"]
    assert upstream.shape == (len(CASE.batch), CASE.config.hidden_size)
    assert np.linalg.norm(upstream) > 1
