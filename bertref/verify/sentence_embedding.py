"""A text's vector as folders of sentence-transformers make it, forward alone, by the code that makes it for users."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import Array, Namespace
from ..inference.sentence_transformers.pooling import normalized, pool
from ..layout import Layout
from ..ops import OPS
from ..ops._wide import wide
from ..probes import Probe
from ..topology import UNIT_LENGTH, sentence_rows


def embed(
    xp: Namespace, sequence: Array, layout: Layout, embedding: Sequence[str], given: Mapping[str, Any], probe: Probe
) -> None:
    """The sequence (T, H) in either layout through the steps `embedding` (`topology.rows`), each tensor (B, ...) shown
    to the probe, in the type of the sequence. `given` has the weights of dense layers on the vector."""
    found: dict[str, Array] = {}
    for row in sentence_rows(embedding):
        if row.op == "joined":
            made = xp.concat([found[name] for name in row.inputs], axis=-1)
        elif row.op == "sentence_dense":
            name, activation = row.arguments
            made = _dense(xp, found[row.inputs[0]], name, activation, given)
        elif row.op == UNIT_LENGTH:
            made = normalized(xp, wide(xp, found[row.inputs[0]]))
        else:
            made = pool(xp, sequence, layout, row.label)
        found[row.name] = xp.astype(made, sequence.dtype, copy=False)
        probe.array(row.name, found[row.name])


def _dense(xp: Namespace, x: Array, name: str, activation: str, given: Mapping[str, Any]) -> Array:
    held = xp.dtype_name(x.dtype)
    weight, bias = (given.get(f"{name}.{one}") for one in ("weight", "bias"))
    y, _ = OPS["dense"].forward(xp, x, xp.from_numpy(weight, held), None if bias is None else xp.from_numpy(bias, held))
    return y if activation == "identity" else OPS[activation].forward(xp, y)[0]
