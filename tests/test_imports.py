"""Who may import whom. The table is the architecture: rooms import only downward, and an array library is loaded only
where it is named here."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"bertref": "bertref", "backends": "bertref.backends", "cli": "bertref.cli", "golden": "bertref.golden"}
"""Folder -> the package it is installed as."""

_LAYER = {"arrays", "config", "dropout", "errors", "layout", "opset", "params", "probes"}
_MODEL = _LAYER | {"heads", "layers", "model", "precision"}
_TRAIN = _MODEL | {
    "backends", "checkpoint", "data", "init", "metrics", "mixed", "objectives", "optim", "plumbing", "presets", "rng",
    "text",
}  # fmt: skip
_TOP = {"backends.report", "bertref", "golden", "inference", "onnx_export"}

MAY_IMPORT = {
    "arrays": set(),
    "errors": set(),
    "plumbing": {"errors"},
    "variants": set(),
    "presets": {"variants"},
    "config": {"config_keys", "errors", "presets", "variants"},
    "config_keys": {"errors", "variants"},
    "rng": {"errors"},
    "precision": {"arrays", "errors"},
    "params": set(),
    "metrics": {"errors"},
    "text": {"errors", "plumbing"},
    "golden": {"errors"},
    "backends": {"arrays", "errors", "plumbing"},
    "backends.cupy": {"arrays", "backends", "errors", "ops"},
    "backends.numpy": {"arrays", "backends", "errors", "ops", "plumbing"},
    "backends.report": {"backends", "backends.numpy", "plumbing"},
    "ops": {"arrays"},
    "opset": {"arrays", "errors", "ops"},
    "mixed": {"arrays", "ops", "opset"},
    "layout": {"arrays", "config", "errors", "ops"},
    "dropout": {"arrays", "errors", "rng"},
    "probes": {"arrays", "errors", "layout", "ops"},
    "layers": _LAYER,
    "model": _LAYER | {"layers"},
    "heads": _LAYER | {"layers", "row"},
    "objectives": _LAYER | {"heads", "layers", "model", "row"},
    "row": set(),
    "topology": {"config", "heads", "objectives", "row"},
    "workload": {"arrays", "backends", "backends.report", "config", "dropout", "errors", "ops", "opset", "optim"},
    "init": {"arrays", "config", "errors", "heads", "rng"},
    "optim": {"arrays", "config", "errors", "params", "precision"},
    "checkpoint": {"arrays", "config", "config_keys", "errors", "heads", "params", "plumbing", "precision", "text"},
    "data": {"arrays", "bertref", "config", "errors", "plumbing", "rng", "text"},
    "train": _TRAIN | {"bertref", "evaluation", "inference", "tasks", "topology"},
    "onnx_export": _MODEL | {"backends", "bertref", "plumbing", "topology"},
    "tasks": {"bertref", "config", "data", "errors", "plumbing", "text"},
    "inference": _MODEL | {"backends", "checkpoint", "metrics", "plumbing", "tasks", "text"},
    "evaluation": {
        "api", "backends", "bertref", "config", "data", "errors", "inference", "metrics", "plumbing", "tasks", "text",
    },
    "convert": _MODEL | {"backends", "checkpoint", "config_keys", "inference", "onnx_export", "plumbing", "variants"},
    "verify": _TRAIN | _TOP | {"config_keys", "ops", "row", "topology", "train", "variants"},
    "bench": _TRAIN | {
        "api", "backends.numpy", "backends.report", "bertref", "inference", "onnx_export", "train", "variants",
    },
    "default_model": {
        "backends.report", "bench", "bertref", "checkpoint", "config", "data", "errors", "metrics", "plumbing", "rng",
        "text",
    },
    "__main__": {"cli"},
    "api": _MODEL | {"backends", "checkpoint", "inference", "text"},
    "bertref": {"api", "checkpoint", "config", "errors", "evaluation", "text", "train", "verify"},
    "cli": _TRAIN | _TOP | {
        "workload", "api", "backends.numpy", "bench", "convert", "default_model", "evaluation", "train", "verify",
    },
}
"""Room -> the rooms that it may import besides itself. `bertref` is the package's own `__init__`: its version."""

LIBRARIES = {
    "backends": {
        "array_api_compat", "array_api_strict", "cupy", "cupy_backends", "cupyx", "ml_dtypes", "numpy", "torch",
        "torch_xla",
    },
    "cli": {"click", "matplotlib", "rich", "tensorboardX"},
    "text": {"numpy", "tokenizers"},
    "checkpoint": {"ml_dtypes", "numpy", "safetensors"},
    "convert": {"numpy", "onnxruntime", "torch", "transformers"},
    "onnx_export": {"numpy", "onnx"},
    "verify": {"jax", "numpy", "onnx", "onnxruntime", "pytest", "safetensors", "torch", "transformers"},
    "bench": {"cupy", "numpy", "onnxruntime", "tokenizers", "torch", "transformers"},
    "plumbing": {"google_crc32c"},
    "data": {"numpy"},
    "golden": {"numpy", "safetensors"},
    "default_model": {"numpy", "sklearn"},
    "train": {"cupy", "numpy", "torch"},
    **{name: {"numpy"} for name in ("api", "dropout", "evaluation", "heads", "inference", "init", "layout", "metrics",
                                    "objectives", "rng", "tasks")},
}  # fmt: skip
"""Room -> the libraries outside the standard one that it may import; a room that is missing here has none."""

GENERATORS = {"mpmath", "numpy", "safetensors", "tensorflow", "torch", "transformers"}
"""What the generators of goldens may use: oracles, and nothing of bertref except the package that they are in."""


class Import(NamedTuple):
    """`target` is a dotted name: a module, or a name in one."""

    line: int
    target: str


def imports(source: str, module: str, *, package: bool) -> Iterator[Import]:
    """Every import in a module's source, anywhere in it, with relative ones made absolute."""
    here = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(node.lineno, f"{stem}.{alias.name}")


def room(name: str) -> str:
    """The room of a dotted name inside bertref: "bertref.ops.dense" -> "ops", "bertref.__version__" -> "bertref"."""
    parts = name.split(".")[1:]
    if not parts or parts[0] not in MAY_IMPORT:
        return "bertref"
    return ".".join(parts[:2]) if ".".join(parts[:2]) in MAY_IMPORT else parts[0]


def faults(source: str, module: str, *, package: bool = False) -> list[str]:
    """What in a module's imports breaks the tables."""
    found = []
    generator = module.startswith("bertref.golden.generate")
    own = room(module)
    for line, target in imports(source, module, package=package):
        top = target.split(".")[0]
        if top == "bertref":
            if generator:
                allowed = target.startswith("bertref.golden")
            else:
                allowed = room(target) == own or room(target) in MAY_IMPORT[own]
            if room(target) == "bertref" and own not in ("bertref", "cli") and target != "bertref.__version__":
                allowed = False
        elif top in sys.stdlib_module_names:
            allowed = True
        else:
            allowed = top in (GENERATORS if generator else LIBRARIES.get(own.split(".")[0], set()))
        if not allowed:
            found.append(f"{module}, line {line}: imports {target}")
    return found


def modules() -> Iterator[tuple[Path, str, bool]]:
    """Every module of the rooms: its file, its dotted name, whether it is a package's `__init__`."""
    for folder, name in ROOMS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if folder == "bertref" and parts[0] in ROOMS:
                continue  # the links to the other rooms
            package = parts[-1] == "__init__"
            yield path, ".".join([name, *(parts[:-1] if package else parts)]), package


def test_rooms_import_only_downward() -> None:
    seen = set()
    found = []
    for path, name, package in modules():
        seen.add(room(name))
        found += faults(path.read_text(encoding="utf-8"), name, package=package)
    assert not found, "\n".join(found)
    assert seen >= {"ops", "layers", "model", "train", "cli", "backends", "golden"}


def test_the_model_is_written_without_the_table_of_the_network() -> None:
    """`topology` is held against the model, which must therefore not come from it, by whatever way."""
    reached, open_ = set(), {"ops", "layers", "model", "heads", "objectives"}
    while open_:
        reached |= open_
        open_ = set().union(*(MAY_IMPORT[name] for name in open_)) - reached
    assert "topology" not in reached
    assert not {"ops", "layers", "model"} & {name for name, below in MAY_IMPORT.items() if "row" in below}


def test_every_module_has_a_room() -> None:
    strangers = [name for _, name, _ in modules() if room(name) == "bertref" and name != "bertref"]
    assert not strangers, f"add to MAY_IMPORT: {strangers}"


def test_the_table_has_no_circle() -> None:
    """Rooms can be ordered so that each imports only earlier ones; the package's own version is outside the order."""
    left = {name: below - {"bertref"} for name, below in MAY_IMPORT.items() if name != "bertref"}
    while left:
        ready = {name for name, below in left.items() if not below & left.keys()}
        assert ready, f"a circle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in ready}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bertref.ops.dense", "from ..layers import pooler"),
        ("bertref.ops.dense", "import numpy as np"),
        ("bertref.ops.dense", "from .. import errors"),
        ("bertref.ops.dense", "def f():\n    from bertref.opset import OpSet"),
        ("bertref.config", "from .params import shapes"),
        ("bertref.rng", "if True:\n    from . import data"),
        ("bertref.layers.pooler", "import torch"),
        ("bertref.layers.pooler", "from ..ops import dense"),
        ("bertref.model", "from .objectives import losses_and_gradients"),
        ("bertref.model", "from .row import TensorRow"),
        ("bertref.layers.pooler", "from ..topology import rows"),
        ("bertref.objectives.pretraining", "from ..topology import rows"),
        ("bertref.heads.masked_lm", "from ..topology import rows"),
        ("bertref.train.step", "from ..api import load"),
        ("bertref.train.step", "from .. import pretrain"),
        ("bertref.api", "from .cli import main"),
        ("bertref.metrics.mean", "import bertref"),
        ("bertref.backends.torch.backend", "from ...ops import OPS"),
        ("bertref.golden.generate.ops", "from ...ops import OPS"),
        ("bertref.golden.generate.ops", "import scipy"),
        ("bertref.golden.generate.ops", "from ...errors import InputError"),
    ],
)
def test_a_wrong_import_is_seen(module: str, source: str) -> None:
    assert len(faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bertref.ops.dense", "import math\nfrom ..arrays import Array\nfrom .op import Op"),
        ("bertref.backends.numpy.kernels.norm", "from ....ops import OPS"),
        ("bertref.golden.generate.ops", "from . import common\nimport mpmath, torch"),
        ("bertref.data.pretraining.shards", "from .. import __version__"),
        ("bertref.cli.predict", "from ..api import load\nimport click"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    assert faults(source, module) == []


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter at the top of the checkout."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


ARRAY_LIBRARIES = ("numpy", "torch", "cupy", "array_api_compat", "array_api_strict", "scipy", "tokenizers")


@pytest.mark.parametrize("name", ["bertref", "bertref.backends", "bertref.cli"])
def test_no_array_library_is_imported_before_it_is_needed(name: str) -> None:
    done = python(f"import {name}, sys; print([m for m in {ARRAY_LIBRARIES} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("name", ["backends", "cli", "golden"])
def test_a_room_is_refused_under_its_bare_name(name: str) -> None:
    done = python(f"import {name}")
    assert done.returncode == 1
    assert f"ImportError: this package is bertref.{name}; it can't be imported as '{name}'" in done.stderr
