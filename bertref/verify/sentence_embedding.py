"""A text's vector as folders of sentence-transformers make it, forward alone, by the code that makes it for users."""

from collections.abc import Sequence

from ..arrays import Array, Namespace
from ..inference.sentence_transformers.pooling import normalized, pool
from ..layout import Layout
from ..ops._wide import wide
from ..probes import Probe
from ..topology import UNIT_LENGTH, sentence_rows


def embed(xp: Namespace, sequence: Array, layout: Layout, embedding: Sequence[str], probe: Probe) -> None:
    """The sequence (T, H) in either layout through the steps `embedding` (`topology.rows`), each shown to the probe,
    (B, H) in the type of the sequence."""
    x = sequence
    for step, row in zip(embedding, sentence_rows(embedding), strict=True):
        made = normalized(xp, wide(xp, x)) if step == UNIT_LENGTH else pool(xp, x, layout, step)
        x = xp.astype(made, sequence.dtype, copy=False)
        probe.array(row.name, x)
