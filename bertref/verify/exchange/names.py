"""What an answer may be called, and the shape that it then has."""

import difflib
from collections.abc import Iterable

from ...heads import parameter_shapes
from ...probes import probe_names
from ..records import Case
from .settings import sizes

Shape = tuple[int, ...]

_PROBES = {
    "scores": "BASS", "probs": "BASS", "ffn_pre": "BSI", "ffn_act": "BSI", "pooled_pre": "BH", "pooled": "BH",
    "dense": "BPH", "act": "BPH", "transform": "BPH", "mlm.logits": "BPV", "nsp.logits": "B2",
    "loss.mlm": "", "loss.nsp": "", "loss.total": "",
}  # fmt: skip
"""The probe, or the last part of its name -> its shape; all others are BSH."""


def answer_shapes(case: Case) -> dict[str, Shape]:
    """Canonical name -> shape of every answer that the case can have."""
    letters = {**sizes(case), "2": 2}
    shapes = {}
    for name in probe_names(case.config.num_hidden_layers):
        key = name if name in _PROBES else name.rpartition(".")[2]
        shapes[name] = tuple(letters[letter] for letter in _PROBES.get(key, "BSH"))
    grads = {f"grad:{name}": shape for name, shape in shapes.items()}
    params = parameter_shapes(case.config)
    return {
        **shapes,
        **grads,
        **{f"grad:{name}": shape for name, shape in params.items()},
        **({f"update:{name}": shape for name, shape in params.items()} if case.optimizer else {}),
    }


def similar(name: str, known: Iterable[str]) -> str:
    """A remark with the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f"; did you mean {near[0]!r}?" if near else ""
