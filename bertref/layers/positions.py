"""Which row of the table of positions a token takes.

    counted from the column    position = the token's column in the rectangle
    counted from padding       position = padding id + the token's number, from 1, among those of its sequence that are
                               not the padding id; a padding id has the padding id as its position

The second is a matter of ids, not of the attention mask, and the same wherever the padding lies.

Source: `modeling.py`, `embedding_postprocessor`; transformers, `RobertaEmbeddings.create_position_ids_from_input_ids`.
"""

from ..arrays import Array, Namespace
from ..layout import Inputs
from ..probes import padded
from .settings import Settings


def position_ids(xp: Namespace, x: Inputs, settings: Settings) -> Array:
    """The positions (T), integers."""
    if not settings.config.variant.counts_tokens:
        return x.position_ids
    layout, padding = x.layout, settings.config.pad_token_id
    ids = x.input_ids if x.counted_ids is None else x.counted_ids
    real = xp.where(ids == padding, xp.zeros_like(ids), xp.ones_like(ids))
    real = padded(xp, xp.reshape(real, (*real.shape, 1)), layout)
    counted = xp.reshape(xp.cumulative_sum(real, axis=1) * real + padding, (layout.batch * layout.length,))
    return xp.take(counted, layout.places, axis=0) if layout.packed else counted
