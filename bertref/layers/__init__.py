"""Layers: pairs over ops. Each file has a `forward(...) -> (y, cache)` and a `backward(dy, cache) -> (dx, gradients)`.

`p` is a flat dict of the layer's own parameters by local name (`bertref.params.scope`); gradients come back under the
same names. `ops` is an `OpSet`, `probe` an optional `bertref.probes.Probe`.
"""

from .settings import Settings

__all__ = ["Settings"]
