"""The parts of a model as users see them, by the names of their parameters."""

from collections.abc import Iterable

PARTS = {
    "bert.pooler.": "pooler", "cls.predictions.": "masked-word head", "cls.seq_relationship.": "next-sentence head",
    "classifier.": "classifier", "qa_outputs.": "question-answering head",
}  # fmt: skip
"""How a parameter's name begins -> the part of the model that it belongs to, as users see it."""


def named_parts(names: Iterable[str]) -> list[str]:
    """The parts of the model to which the parameters belong."""
    return list(dict.fromkeys(
        next((part for prefix, part in PARTS.items() if name.startswith(prefix)), name) for name in names
    ))  # fmt: skip
