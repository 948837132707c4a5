"""Right ONNX files as people have them, each made from a seed: exported by torch, fused, in float16, in 8 bits.

Ten seeds in a row ask one file ten different questions, because making it takes longer than asking it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnxruntime.quantization import QuantType

from bertref.verify.records import Case
from bertref.verify.subjects.onnx import OnnxSubject
from tests.verify.subjects.onnx import exported

QUESTIONS = 10
"""That one file is asked."""
PRODUCTS, TABLES = ["MatMul"], ["MatMul", "Gather"]
INTEGERS = (QuantType.QInt8, QuantType.QUInt8)
Draw = np.random.Generator


def plain(folder: Path, case: Case, draw: Draw, *, dynamo: bool = False) -> Path:
    """torch's own file, with either form of attention."""
    model = exported.hugging_face(attention=str(draw.choice(["eager", "sdpa"])), case=case)
    return exported.from_torch(folder / "plain.onnx", model, dynamo=dynamo, case=case)


def newer(folder: Path, case: Case, draw: Draw) -> Path:
    return plain(folder, case, draw, dynamo=True)


def fused(folder: Path, case: Case, draw: Draw) -> Path:
    """By onnxruntime's optimiser for transformers, or by its session."""
    path, to = plain(folder, case, draw), folder / "fused.onnx"
    return exported.fused(path, to, case) if draw.integers(3) else exported.optimised(path, to)


def halves(folder: Path, case: Case, draw: Draw) -> Path:
    """In float16 altogether, or with norms, or norms and softmax, left in float32."""
    kept = (), ("LayerNormalization",), ("LayerNormalization", "Softmax", "Erf")
    return exported.halves(plain(folder, case, draw), folder / "half.onnx", *kept[draw.integers(3)])


def dynamic(folder: Path, case: Case, draw: Draw) -> Path:
    """Integers with and without a sign, one scale a table or one a channel, products alone or tables as well."""
    kind, only = INTEGERS[draw.integers(2)], (PRODUCTS, None)[draw.integers(2)]
    path = plain(folder, case, draw)
    return exported.dynamic(path, folder / "int8.onnx", kind=kind, only=only, per_channel=bool(draw.integers(2)))


def static(folder: Path, case: Case, draw: Draw) -> Path:
    only, kind = (PRODUCTS, TABLES)[draw.integers(2)], INTEGERS[draw.integers(2)]
    return exported.static(plain(folder, case, draw), folder / "int8.onnx", only, kind, case)


FILES: dict[str, Callable[[Path, Case, Draw], Path]] = {
    "file-fused": fused, "file-newer-exporter": newer, "file-float16": halves, "file-dynamic-int8": dynamic,
    "file-static-int8": static,
}  # fmt: skip
"""Kinds of files."""


def subject_of_file(kind: str, case: Case, folder: Path) -> OnnxSubject:
    """The file of that kind of the case's model, made in `folder` if it isn't there yet, beside the model's folder."""
    seed = int(case.origin["seed"])
    home = folder / f"{kind}-{seed}"
    made = home / "name"
    if not made.exists():
        home.mkdir()
        path = FILES[kind](home, case, np.random.default_rng([seed, 3]))
        exported.folder(home / "model", case)
        made.write_text(path.name, encoding="utf-8")
    return OnnxSubject(home / made.read_text(encoding="utf-8"), model=home / "model")
