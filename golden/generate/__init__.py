"""The generators of the goldens. They compute with mpmath, torch and transformers, never with bertref.

`python -m bertref.golden.generate` makes them all again, `python -m bertref.golden.generate ops/layer_norm`
one.
"""
