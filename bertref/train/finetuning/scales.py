"""How fast each parameter learns: layer-wise decay of the rate, and what is frozen.

With decay d and L layers the rate of layer i (from 0) is multiplied by d^(L - i), that of the embeddings by d^(L + 1);
pooler and head keep the full rate. Source: Clark et al. 2020, "ELECTRA", appendix (layer-wise learning-rate decay).
"""

from collections.abc import Iterable

from ...errors import InputError
from ...params import in_layer

EMBEDDINGS, ENCODER = "embeddings", "encoder"


def rate_scales(names: Iterable[str], layers: int, decay: float, freeze: str | None) -> dict[str, float]:
    """Parameter -> what its rate is multiplied by, those with 1 left out; 0 for what is frozen.

    `freeze` is "embeddings", a number of layers (with the embeddings and from below), or "encoder" (all of them).
    Raises `InputError` for anything else.
    """
    frozen = frozen_blocks(freeze, layers)
    found = {}
    for name in names:
        depth = _depth(name, layers)
        scale = 0.0 if depth is not None and depth < frozen else decay ** _above(depth, layers)
        if scale != 1.0:
            found[name] = scale
    return found


def _depth(name: str, layers: int) -> int | None:
    """0 for the embeddings, 1 + i for layer i, None above the layers."""
    if name.startswith("bert.embeddings."):
        return 0
    inside = in_layer(name)
    return None if inside is None else 1 + inside[0]


def _above(depth: int | None, layers: int) -> int:
    return 0 if depth is None else layers + 1 - depth


def frozen_blocks(freeze: str | None, layers: int) -> int:
    """How many are frozen from below, the embeddings the first of them: `Settings.frozen`. Raises as `rate_scales`."""
    if freeze is None:
        return 0
    if freeze == EMBEDDINGS:
        return 1
    if freeze == ENCODER:
        return 1 + layers
    if freeze.isdecimal() and int(freeze) <= layers:
        return 1 + int(freeze)
    raise InputError(
        f"--freeze is {freeze!r}; it must be {EMBEDDINGS}, {ENCODER}, or a number of layers up to {layers}"
    )
