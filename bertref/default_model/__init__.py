"""The model inside the package: what `bertref predict "text"` answers with where nobody names another."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "model"
"""A Hugging Face folder: an encoder with a classifier of sentiment and a head for masked words."""


def available() -> bool:
    """Whether the folder holds its weights."""
    return (FOLDER / "model.safetensors").is_file()
