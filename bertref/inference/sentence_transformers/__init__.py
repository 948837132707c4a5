"""Folders of sentence-transformers: their modules, their pooling, and one vector a text."""
