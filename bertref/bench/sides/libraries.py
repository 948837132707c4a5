"""The peers' libraries, or what to install."""

import importlib
from typing import Any

from ...errors import BackendUnavailable

REMEDIES = {
    "torch": "pip install 'bertref[torch]'",
    "transformers": "pip install transformers 'bertref[torch]'",
    "onnxruntime": "pip install 'bertref[onnx]'",
    "onnx": "pip install 'bertref[onnx]'",
    "tokenizers": "pip install tokenizers",
}


def library(name: str) -> Any:
    """The module. Raises `BackendUnavailable` saying what to install."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BackendUnavailable(f"{name} is not installed; {REMEDIES[name]}") from None


def torch_with(threads: int) -> Any:
    """torch, computing on so many threads."""
    torch = library("torch")
    torch.set_num_threads(threads)
    return torch


def quiet_transformers() -> Any:
    """transformers without its bars and advice."""
    transformers = library("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
