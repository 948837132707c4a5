"""The metrics of labelled words: of the entities that they spell, or, where they spell none, of the words.

    f1, precision, recall               of entities, micro: conlleval's rule, lenient, whatever the scheme
    f1_macro, f1_weighted, ...          averages over the types of entities
    f1_iob2, f1_iobes, ...              micro, strict: what breaks the scheme is no entity
    accuracy, loss                      of the words; these alone where labels are no entities (parts of speech)

conlleval knows the letters of IOB and IOBES; those of BILOU and BMES are read as theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import InputError
from ..inference.token_classification import ALONE, FIRST, GOES_ON, LAST, OUTSIDE, SCHEME, letters_of
from ..metrics.averages import Scores
from ..metrics.classification import accuracy
from ..metrics.entities import SCHEMES, EntityReport, entity_report
from ..metrics.value import Value
from .losses import cross_entropy
from .tokens import TokenAnswers

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


def strays(labels: Sequence[str]) -> list[str]:
    """The labels that keep the others, most of them, from being those of entities: mistyped ones, as X-LOC."""
    letters = letters_of(labels)
    named = [label for label in labels if label != OUTSIDE]
    found = [label for label in named if not (label[1:2] == "-" and label[0] in letters)]
    return found if 2 * len(found) < len(named) else []


def strays_note(found: Sequence[str], places: Mapping[str, str] | None = None) -> str:
    """What a person should know of such labels; `places`: where each first stands."""
    shown = [f"{label} ({places[label]})" if places and label in places else label for label in found]
    words = f"The label {shown[0]} is no tag" if len(found) == 1 else f"The labels {', '.join(shown)} are no tags"
    return f"{words} of entities (B-..., I-...) as the others are: words are judged, not entities. Mistyped?"


def default_metric(labels: Sequence[str]) -> str:
    """The one that models are chosen by."""
    return "f1" if spell_entities(labels) else "accuracy"


def check_token_metrics(kind: str, names: Sequence[str], labels: Sequence[str] | None = None) -> None:
    """Raises `InputError` for a metric that words don't have, or not with these labels, where they are known."""
    entities = labels is None or spell_entities(labels)
    known = (*OF_ENTITIES, *OF_WORDS) if entities else OF_WORDS
    for name in names:
        if name not in known:
            what = kind if entities else "labels that are no entities"
            raise InputError(f"there is no metric {name!r} for {what}; choose from {', '.join(known)}")


def token_metrics(kind: str, answers: TokenAnswers, also: Sequence[str] = ()) -> dict[str, Value]:
    """F1, precision and recall of entities if the labels are theirs, accuracy and loss of words, and those in `also`;
    {} where the truth is not known. Raises `InputError` for a metric that these labels don't have."""
    check_token_metrics(kind, also, answers.labels)
    if answers.targets is None:
        return {}
    found = {"accuracy": accuracy(answers.targets, answers.predictions)}
    if answers.logits is not None:
        found["loss"] = cross_entropy(answers.logits, answers.targets)
    if not spell_entities(answers.labels):
        return found
    names = dict.fromkeys([*PARTS, *(name for name in also if name not in OF_WORDS)])
    lenient = entities_of(answers)
    return {name: _of_entities(name, answers, lenient) for name in names} | found


def entities_of(answers: TokenAnswers, scheme: str = "lenient") -> EntityReport:
    """The figures of entities: by conlleval's rule, or strict by the name of a scheme."""
    if scheme == "lenient":
        answers = as_conlleval(answers)
    assert answers.targets is not None
    return entity_report(answers.by_sentence(answers.targets), answers.by_sentence(answers.predictions), scheme)


def as_conlleval(answers: TokenAnswers) -> TokenAnswers:
    """The answers with the labels that conlleval reads."""
    letters = letters_of(answers.labels)
    return replace(answers, labels=tuple(_conll(label, letters) for label in answers.labels))


def _conll(label: str, letters: frozenset[str]) -> str:
    """The label with the letter that conlleval reads."""
    return LETTERS[SCHEME[label[0]]] + label[1:] if label[1:2] == "-" and label[0] in letters else label


def _of_entities(name: str, answers: TokenAnswers, lenient: EntityReport) -> Value:
    part, _, how = name.partition("_")
    strict = how in STRICT
    report = entities_of(answers, STRICT[how]) if strict else lenient
    scores: Scores = getattr(report, "micro" if strict or not how else how)
    value: Value = getattr(scores, part)
    return value
