"""The questions: generated from a seed, of a config, or of a model and texts; and made smaller."""
