"""bertref: the numerical reference of BERT, every operation by hand, on NumPy, CuPy and torch arrays.

The names below are public and versioned. They are loaded when first used, so `import bertref` imports no array library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .api import Model, load
    from .config import BertConfig, Numerics
    from .errors import BertrefError, InputError
    from .evaluation import EvaluateOptions, evaluate
    from .text import Tokenizer
    from .train import FinetuneOptions, PretrainOptions, finetune, pretrain

_HOMES = {
    "BertConfig": "config",
    "BertrefError": "errors",
    "EvaluateOptions": "evaluation",
    "FinetuneOptions": "train",
    "InputError": "errors",
    "Model": "api",
    "Numerics": "config",
    "PretrainOptions": "train",
    "Tokenizer": "text",
    "evaluate": "evaluation",
    "finetune": "train",
    "load": "api",
    "pretrain": "train",
}

__all__ = [
    "BertConfig",
    "BertrefError",
    "EvaluateOptions",
    "FinetuneOptions",
    "InputError",
    "Model",
    "Numerics",
    "PretrainOptions",
    "Tokenizer",
    "evaluate",
    "finetune",
    "load",
    "pretrain",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bertref' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
