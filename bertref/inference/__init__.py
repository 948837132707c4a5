"""Loaded models at work: features of texts, and the answers of their heads."""
