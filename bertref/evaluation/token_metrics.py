"""The metrics of labelled words: of the entities that they spell, or, where they spell none, of the words.

    f1, precision, recall               of entities, micro: conlleval's rule, lenient, whatever the scheme
    f1_macro, f1_weighted, ...          averages over the types of entities
    f1_iob2, f1_iobes, ...              micro, strict: what breaks the scheme is no entity
    accuracy, loss                      of the words; these alone where labels are no entities (parts of speech)

conlleval knows the letters of IOB and IOBES; those of BILOU and BMES are read as theirs.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from ..errors import InputError
from ..inference.token_classification import ALONE, FIRST, GOES_ON, LAST, OUTSIDE, SCHEME, letters_of
from ..metrics.averages import Scores
from ..metrics.entities import SCHEMES, EntityReport, entity_report
from ..metrics.value import Value, ratio
from ..tasks.labels import numbers_of
from .losses import cross_entropy
from .tokens import TokenAnswers, Words

PARTS = ("f1", "precision", "recall")
OF_WORDS = ("accuracy", "loss")
STRICT = {scheme.lower(): scheme for scheme in SCHEMES if scheme != "lenient"}
OF_ENTITIES = (
    *PARTS,
    *(f"{part}_{average}" for average in ("macro", "weighted") for part in PARTS),
    *(f"{part}_{scheme}" for scheme in STRICT for part in PARTS),
)
LETTERS = {FIRST: "B", GOES_ON: "I", LAST: "E", ALONE: "S"}
"""The letters that conlleval reads."""


def spell_entities(labels: Sequence[str]) -> bool:
    """Whether labels are those of entities: each is O, or a letter of a scheme with a type."""
    letters = letters_of(labels)
    lettered = [label[1:2] == "-" and label[0] in letters for label in labels]
    return any(lettered) and all(fits or label == OUTSIDE for fits, label in zip(lettered, labels, strict=True))


def default_metric(labels: Sequence[str]) -> str:
    """The one that models are chosen by."""
    return "f1" if spell_entities(labels) else "accuracy"


def token_metric_names(labels: Sequence[str]) -> tuple[str, ...]:
    """All metrics that these labels have."""
    return (*OF_ENTITIES, *OF_WORDS) if spell_entities(labels) else OF_WORDS


def token_metrics(kind: str, answers: TokenAnswers, also: Sequence[str] = ()) -> dict[str, Value]:
    """F1, precision and recall of entities if the labels are theirs, accuracy and loss of words, and those in `also`;
    {} where the truth is not known. Raises `InputError` for a metric that these labels don't have."""
    entities = spell_entities(answers.labels)
    known = token_metric_names(answers.labels)
    for name in also:
        if name not in known:
            what = kind if entities else "labels that are no entities"
            raise InputError(f"there is no metric {name!r} for {what}; choose from {', '.join(known)}")
    if answers.targets is None:
        return {}
    found = {"accuracy": _accuracy(answers)}
    if answers.logits is not None:
        table = numbers_of(answers.labels)
        numbers = np.array([table[label] for label in chain.from_iterable(answers.targets)], np.int64)
        found["loss"] = cross_entropy(answers.logits, numbers)
    if not entities:
        return found
    names = dict.fromkeys([*PARTS, *(name for name in also if name not in OF_WORDS)])
    lenient = entities_of(answers)
    return {name: _of_entities(name, answers, lenient) for name in names} | found


def entities_of(answers: TokenAnswers) -> EntityReport:
    """The figures of entities by conlleval's rule."""
    return entity_report(*as_conlleval(answers))


def as_conlleval(answers: TokenAnswers) -> tuple[list[Words], list[Words]]:
    """The true and the predicted labels of all sentences, with the letters that conlleval reads."""
    assert answers.targets is not None
    letters = letters_of(answers.labels)
    spelt = {label: _conll(label, letters) for label in answers.labels}
    return _spelt(answers.targets, spelt), _spelt(answers.predictions, spelt)


def _spelt(side: Sequence[Words], spelt: Mapping[str, str]) -> list[Words]:
    return [tuple(spelt[label] for label in labels) for labels in side]


def _conll(label: str, letters: frozenset[str]) -> str:
    return LETTERS[SCHEME[label[0]]] + label[1:] if label[1:2] == "-" and label[0] in letters else label


def _of_entities(name: str, answers: TokenAnswers, lenient: EntityReport) -> Value:
    part, _, how = name.partition("_")
    assert answers.targets is not None
    if how in STRICT:
        report, how = entity_report(answers.targets, answers.predictions, STRICT[how]), "micro"
    else:
        report = lenient
    scores: Scores = getattr(report, how or "micro")
    value: Value = getattr(scores, part)
    return value


def _accuracy(answers: TokenAnswers) -> Value:
    pairs = zip(chain.from_iterable(answers.targets or ()), chain.from_iterable(answers.predictions), strict=True)
    agree = [true == said for true, said in pairs]
    return ratio(sum(agree), len(agree))
