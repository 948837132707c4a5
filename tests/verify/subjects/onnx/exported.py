"""ONNX files for the tests: of bertref's exporter, of both of torch's, fused by onnxruntime's optimiser."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.transformers import float16, optimizer

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


def hugging_face(
    change: Callable[[Any], None] | None = None, attention: str = "sdpa", case: Case = CASE
) -> Any:  # fmt: skip
    """transformers' model with the case's weights, changed."""
    model = torch_model.stock(case.config, case.numerics)
    model.set_attn_implementation(attention)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.from_numpy(case.params[name.replace("decoder.bias", "bias")]))
    if change is not None:
        change(model)
    return model.eval()


def folder(path: Path, case: Case = CASE) -> Path:
    """A Hugging Face folder of the case's model."""
    hugging_face(case=case).save_pretrained(path)
    return path


def from_torch(
    path: Path, model: Any, *, dynamo: bool = False, outputs: tuple[str, ...] = LOGITS, case: Case = CASE
) -> Path:  # fmt: skip
    """What torch's older or newer exporter makes of a model, for any lengths, with its config.json beside it."""
    given = {name: torch.from_numpy(getattr(case.batch, name)).long() for name in INPUTS}
    options: dict[str, Any] = {"input_names": list(INPUTS), "output_names": list(outputs)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            longest = case.config.max_position_embeddings
            batch, length = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("sequence", min=2, max=longest)
            torch.onnx.export(
                model, (), str(path), kwargs=given, dynamo=True, verbose=False,
                dynamic_shapes={name: {0: batch, 1: length} for name in INPUTS}, **options,
            )  # fmt: skip
        else:
            free = {name: {0: "batch", 1: "sequence"} for name in INPUTS}
            torch.onnx.export(
                model, tuple(given.values()), str(path), dynamo=False, opset_version=17, dynamic_axes=free, **options
            )
    (path.parent / "config.json").write_text(json.dumps(config_to_dict(case.config, case.numerics)), encoding="utf-8")
    return path


def fused(path: Path, to: Path, case: Case = CASE) -> Path:
    """The file as onnxruntime's optimiser for transformers leaves it."""
    c = case.config
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


def halves(path: Path, to: Path, *kept: str) -> Path:
    """The file in float16, but for the ops that are `kept` in float32."""
    model = float16.convert_float_to_float16(onnx.load(str(path)), keep_io_types=True, op_block_list=list(kept))
    onnx.save(model, str(to))
    return to


def dynamic(path: Path, to: Path, *, kind: QuantType = QuantType.QInt8, only: list[str] | None = None,
            per_channel: bool = False) -> Path:  # fmt: skip
    """The file with weights in 8 bits and inputs whose scales are found as they come; of the ops `only`, if given."""
    quantize_dynamic(
        str(path), str(to), weight_type=kind, op_types_to_quantize=only, per_channel=per_channel,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )  # fmt: skip
    return to


class Batches(CalibrationDataReader):  # type: ignore[misc]
    """A case's own batch, once."""

    def __init__(self, case: Case) -> None:
        self._left = [{name: getattr(case.batch, name).astype(np.int64) for name in INPUTS}]

    def get_next(self) -> Any:
        return self._left.pop() if self._left else None


def static(
    path: Path, to: Path, only: list[str] | None, kind: QuantType = QuantType.QUInt8, case: Case = CASE, *,
    per_channel: bool = False, form: QuantFormat = QuantFormat.QDQ,
) -> Path:  # fmt: skip
    """The file with weights and inputs in 8 bits, on scales that the case's batch was looked at for; `only` these ops,
    None: all that can be quantised."""
    quantize_static(
        str(path), str(to), Batches(case), quant_format=form, op_types_to_quantize=only, per_channel=per_channel,
        activation_type=kind, weight_type=QuantType.QInt8,
    )  # fmt: skip
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
