"""All heads, and the heads that come together.

The order of `HEADS` gives parameters their numbers (`parameters.canonical_number`), which address the random numbers
of initial weights: a new head goes to the end.
"""

from collections.abc import Sequence

from ..errors import InputError
from .classifier import MULTIPLE_CHOICE, SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION
from .head import Combination, Head
from .masked_lm import MASKED_LM
from .next_sentence import NEXT_SENTENCE
from .question_answering import QUESTION_ANSWERING

HEADS: dict[str, Head] = {
    head.name: head
    for head in (
        MASKED_LM,
        NEXT_SENTENCE,
        SEQUENCE_CLASSIFICATION,
        MULTIPLE_CHOICE,
        TOKEN_CLASSIFICATION,
        QUESTION_ANSWERING,
    )
}
"""Name -> head."""

POOLER_ALONE = "pooler"
COMBINATIONS: dict[str, Combination] = {
    "pretraining": Combination(("masked_lm", "next_sentence"), "BertForPreTraining"),
    POOLER_ALONE: Combination((), "BertModel"),
}
"""Name -> heads. The last has no head: it is the encoder with its pooler, as Hugging Face's `BertModel` is."""


def expanded(names: Sequence[str]) -> tuple[Head, ...]:
    """The heads of names of `HEADS` and `COMBINATIONS`, each once, in the order of the names.

    Raises `InputError` for an unknown name, and for a string in place of a sequence of them.
    """
    if isinstance(names, str):
        raise InputError(f"parameters: heads is the string {names!r}; give a sequence of names, ({names!r},)")
    found: dict[str, Head] = {}
    for name in names:
        if name not in HEADS and name not in COMBINATIONS:
            raise InputError(f"parameters: no head {name!r}; there are {', '.join([*HEADS, *COMBINATIONS])}")
        for each in COMBINATIONS[name].heads if name in COMBINATIONS else (name,):
            found[each] = HEADS[each]
    return tuple(found.values())


def with_pooler(names: Sequence[str]) -> bool:
    """Whether a model with these heads owns a pooler. As in Hugging Face, only heads that read the pooled output do."""
    return POOLER_ALONE in names or any(head.pooler for head in expanded(names))


def architectures() -> dict[str, tuple[str, ...]]:
    """Hugging Face's class -> the heads that its files hold; the class that is written comes before its synonyms."""
    together = {combination.architecture: combination.heads for combination in COMBINATIONS.values()}
    return together | {name: (head.name,) for head in HEADS.values() for name in head.architectures}


def architecture_of(heads: Sequence[str]) -> str | None:
    """Hugging Face's class for a model with these heads, None if it has none."""
    return next((name for name, wanted in architectures().items() if set(wanted) == set(heads)), None)


def sharing(head: Head) -> tuple[Head, ...]:
    """The heads that have a parameter in common with this one, itself among them: a file holds one of them."""
    return tuple(other for other in HEADS.values() if other.parameters.keys() & head.parameters.keys())


def labelled(heads: Sequence[str]) -> str | None:
    """The parameter that has a row for each label in a model with these heads, None without labels."""
    return next((head.labelled for head in expanded(heads) if head.labelled), None)


def tasks() -> dict[str, str]:
    """Head -> the task that it does, in the order in which a task is chosen for a model that can do several: what it
    was trained for last comes first, so the heads of pre-training come last."""
    before = {name for combination in COMBINATIONS.values() for name in combination.heads}
    order = [*(name for name in reversed(HEADS) if name not in before), *(name for name in HEADS if name in before)]
    return {name: HEADS[name].task for name in order}
