"""ONNX files for the tests: of bertref's exporter, of both of torch's, fused by onnxruntime's optimiser."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from onnxruntime.transformers import optimizer

from bertref.config import config_to_dict
from bertref.onnx_export import export
from bertref.verify.cases.case import generate, rich_parameters
from bertref.verify.checking import check
from bertref.verify.meant import case_for
from bertref.verify.records import Case, Report
from bertref.verify.subjects import torch_model
from bertref.verify.subjects.onnx import OnnxSubject

CASE = generate(71, H=48)
"""Heads of 16 channels: float16 holds the scale of their scores, 1/4, exactly."""
LABELS = 5
LOGITS = ("prediction_logits", "seq_relationship_logits")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def own(path: Path, heads: tuple[str, ...], **options: Any) -> Path:
    """bertref's file of a model with these heads."""
    params = rich_parameters(CASE.config, 71, heads=heads, num_labels=LABELS)
    return export(params, CASE.config, CASE.numerics, path, heads=heads, **options)


def hugging_face(change: Callable[[Any], None] | None = None, attention: str = "sdpa") -> Any:
    """transformers' model with the case's weights, changed."""
    model = torch_model.stock(CASE.config, CASE.numerics)
    model.set_attn_implementation(attention)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.from_numpy(CASE.params[name.replace("decoder.bias", "bias")]))
    if change is not None:
        change(model)
    return model.eval()


def folder(path: Path) -> Path:
    """A Hugging Face folder of the case's model."""
    hugging_face().save_pretrained(path)
    return path


def from_torch(path: Path, model: Any, *, dynamo: bool = False, outputs: tuple[str, ...] = LOGITS) -> Path:
    """What torch's older or newer exporter makes of a model, for any lengths, with its config.json beside it."""
    given = {name: torch.from_numpy(getattr(CASE.batch, name)).long() for name in INPUTS}
    options: dict[str, Any] = {"input_names": list(INPUTS), "output_names": list(outputs)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            batch, length = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("sequence", min=2, max=13)
            torch.onnx.export(
                model, (), str(path), kwargs=given, dynamo=True, verbose=False,
                dynamic_shapes={name: {0: batch, 1: length} for name in INPUTS}, **options,
            )  # fmt: skip
        else:
            free = {name: {0: "batch", 1: "sequence"} for name in INPUTS}
            torch.onnx.export(
                model, tuple(given.values()), str(path), dynamo=False, opset_version=17, dynamic_axes=free, **options
            )
    (path.parent / "config.json").write_text(json.dumps(config_to_dict(CASE.config, CASE.numerics)), encoding="utf-8")
    return path


def fused(path: Path, to: Path) -> Path:
    """The file as onnxruntime's optimiser for transformers leaves it."""
    c = CASE.config
    found = optimizer.optimize_model(
        str(path), model_type="bert", num_heads=c.num_attention_heads, hidden_size=c.hidden_size, opt_level=0
    )
    found.save_model_to_file(str(to))
    return to


def optimised(path: Path, to: Path) -> Path:
    """The file as a session of onnxruntime saves what it runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(to), 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return to


def changed(path: Path, to: Path, change: Callable[[Any], None]) -> Path:
    """A file with its graph changed."""
    model = onnx.load(str(path))
    change(model.graph)
    onnx.save(model, str(to))
    return to


def verdict(path: Path, model: Path | None = None) -> Report:
    """The report on a file."""
    return check(OnnxSubject(path, model=model), repeat=False)


def statuses(report: Report) -> dict[str, str]:
    """Status by name."""
    return {finding.name: finding.status for finding in report.findings}


def case_of(subject: OnnxSubject, seed: int = 3) -> Case:
    """A case of a file's own weights."""
    return case_for(subject, seed)
