"""A text's vector as folders of sentence-transformers make it, forward alone, by the code that makes it for users."""

from collections.abc import Sequence

from ..arrays import Array, Namespace
from ..inference.sentence_transformers.pooling import normalized, pool
from ..layout import Layout
from ..ops._wide import wide
from ..probes import Probe
from ..topology import UNIT_LENGTH, sentence_rows


def embed(xp: Namespace, sequence: Array, layout: Layout, embedding: Sequence[str], probe: Probe) -> None:
    """The sequence (T, H) in either layout through the steps `embedding` (`topology.rows`), each tensor (B, ...) shown
    to the probe, in the type of the sequence."""
    found: dict[str, Array] = {}
    for row in sentence_rows(embedding):
        if row.op == "joined":
            made = xp.concat([found[name] for name in row.inputs], axis=-1)
        elif row.op == UNIT_LENGTH:
            made = normalized(xp, wide(xp, found[row.inputs[0]]))
        else:
            made = pool(xp, sequence, layout, row.label)
        found[row.name] = xp.astype(made, sequence.dtype, copy=False)
        probe.array(row.name, found[row.name])
