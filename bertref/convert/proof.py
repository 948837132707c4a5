"""The numeric proof of a conversion: the model that was loaded, against programs that read the files on their own.

A list of names proves that every tensor was read, not that it was read right: a square weight that should have been
transposed has the right shape. So the loaded model and an independent program (transformers for a Hugging Face folder,
onnxruntime for an ONNX file) compute the same random batch, and the difference is put in units of rounding:

    ratio = |theirs - ours in float64| / |ours in float32 - ours in float64|          (root mean squares)

Two correct programs that sum in different orders come out between 0.3 and 3. A wrong weight, activation or epsilon
comes out in the hundreds at least.
"""

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import backends
from ..checkpoint import SavedModel
from ..checkpoint.plan import class_of
from ..config_keys import class_name
from ..heads import architectures, expanded
from ..layers import Settings
from ..layout import inputs
from ..onnx_export.answers import answers
from ..opset import OpSet
from ..precision import cast

LIMIT = 10.0
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Proof:
    """What one independent reader said. `ratios` by output; `worst` is the largest of them."""

    reader: str
    file: Path
    ratios: dict[str, float]

    @property
    def worst(self) -> float:
        return max(self.ratios.values())

    @property
    def holds(self) -> bool:
        return self.worst <= LIMIT


class Proved(NamedTuple):
    """What independent readers said; which of those that could be asked are not installed; and other remarks."""

    proofs: list[Proof]
    not_asked: list[str]
    notes: list[str]


def prove(saved: SavedModel, target: Path, kind: str) -> Proved:
    """Proofs by every independent reader that is installed, of the source and of the target."""
    batch = random_batch(saved)
    exact, rounded = (ours(saved, batch, dtype) for dtype in ("float64", "float32"))
    asked: list[tuple[str, Path, Callable[[Path, SavedModel, Arrays], Arrays]]] = []
    not_asked: list[str] = []
    notes: list[str] = []
    folders = [saved.path] if saved.coverage.format != "tensorflow" and saved.path.is_dir() else []
    folders += [target] if kind == "huggingface" else []
    if saved.coverage.format == "tensorflow":
        notes.append(f"{saved.path}: no independent reader of TensorFlow checkpoints is at hand; only what was written "
                     "is proved")  # fmt: skip
    if folders and importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
        asked += [("transformers", folder, transformers_reads) for folder in folders]
    elif folders:
        not_asked.append("not proved by transformers: it is not installed (pip install transformers torch)")
    if kind == "onnx" and importlib.util.find_spec("onnxruntime"):
        asked.append(("onnxruntime", target, onnxruntime_reads))
    elif kind == "onnx":
        not_asked.append("not proved by onnxruntime: it is not installed (pip install 'bertref[onnx]')")
    proofs = [
        Proof(reader, file, ratios(run(file, saved, batch), exact, rounded, batch["attention_mask"]))
        for reader, file, run in asked
    ]
    return Proved(proofs, not_asked, notes)


def ratios(found: Arrays, exact: Arrays, rounded: Arrays, mask: npt.NDArray[Any]) -> dict[str, float]:
    """The error of each output in units of rounding, on real tokens; an output of another shape is infinitely wrong."""
    result = {}
    for name, theirs in found.items():
        if theirs.shape != exact[name].shape:
            result[name] = float("inf")
            continue
        at = mask != 0 if theirs.ndim > 1 and theirs.shape[:2] == mask.shape else slice(None)
        error, noise = theirs[at] - exact[name][at], rounded[name][at] - exact[name][at]
        floor = float(np.finfo(np.float32).eps) / 4 * _rms(exact[name][at])
        result[name] = _rms(error) / max(_rms(noise), floor, float(np.finfo(np.float64).tiny))
    return result


def _rms(x: npt.NDArray[Any]) -> float:
    value = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
    return value if np.isfinite(value) else float("inf")


def random_batch(saved: SavedModel, *, rows: int = 3, seed: int = 0) -> Arrays:
    """Ragged rows of random tokens in two segments, as Hugging Face names them."""
    random = np.random.default_rng(seed)
    S = min(24, saved.config.max_length)
    lengths = np.linspace(S, max(1, S // 3), rows).astype(int)
    mask = np.arange(S) < lengths[:, None]
    ids = np.where(mask, random.integers(0, saved.config.vocab_size, (rows, S)), saved.config.pad_token_id)
    second = (np.arange(S) >= lengths[:, None] // 2) & mask & (saved.config.type_vocab_size > 1)
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": second.astype(np.int64)}


def ours(saved: SavedModel, batch: Arrays, dtype: str) -> Arrays:
    """What the loaded model answers, by the names of `bertref.onnx_export.answers`."""
    ops = OpSet(backends.get("numpy"), kernels=False)
    params = cast(ops.xp, {name: ops.xp.from_numpy(array) for name, array in saved.params.items()}, dtype)
    x = inputs(
        ops.xp, batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], config=saved.config
    )  # fmt: skip
    found = answers(ops, params, x, Settings(saved.config, saved.numerics), saved.heads)
    return {name: ops.xp.to_numpy(value) for name, value in found.items()}


def transformers_reads(folder: Path, saved: SavedModel, batch: Arrays) -> Arrays:
    """What transformers answers that loads the folder itself, in float32."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    architecture, variant = class_of(saved.heads), saved.config.variant
    poolable = architecture == "BertModel" and variant.pooled_by == "tanh"
    pooler = {"add_pooling_layer": "bert.pooler.dense.weight" in saved.params} if poolable else {}
    loaded = getattr(transformers, class_name(variant, architecture)).from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, **pooler
    )
    arguments = {name: torch.from_numpy(array) for name, array in batch.items()}
    taken = inspect.signature(loaded.forward).parameters
    arguments = {name: tensor for name, tensor in arguments.items() if name in taken}
    if "multiple_choice" in saved.heads:
        arguments = {name: tensor[:, None] for name, tensor in arguments.items()}
    with torch.no_grad():
        found = loaded.eval()(**arguments, output_hidden_states=True)
    outputs = [name for head in expanded(architectures()[architecture]) for name in head.outputs]
    renamed = {"logits": outputs[0]} if len(outputs) == 1 else {}  # a single output has no other name there
    renamed["sop_logits"] = "seq_relationship_logits"
    last = {"last_hidden_state": found.hidden_states[-1]}
    tensors = {**last, **{renamed.get(n, n): t for n, t in found.items() if isinstance(t, torch.Tensor)}}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def onnxruntime_reads(file: Path, saved: SavedModel, batch: Arrays) -> Arrays:
    """What onnxruntime answers that runs the file, in float32."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    arguments = {i.name: batch[i.name] for i in session.get_inputs()}
    return dict(zip(names, session.run(names, arguments), strict=True))
