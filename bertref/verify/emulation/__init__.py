"""Emulated correct implementations: number formats, arithmetic that rounds to them, other ways to compute an op."""
