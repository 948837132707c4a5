"""Which heads a file has: those that it says, or those whose parameters its graph computes with."""

from collections.abc import Collection, Iterable

from ....heads import HEADS, architectures, expanded
from ....heads.registry import POOLER_ALONE
from ....params import POOLER
from ...records import PRETRAINING
from .graph import ReadGraph
from .origin import ExportOrigin
from .weights import StoredWeights

CLASSIFIERS = ("sequence_classification", "token_classification", "multiple_choice")
POOLER_BIAS, CLASSIFIER, SPANS = "pooler.dense.bias", "classifier.bias", "qa_outputs.bias"
POOLER_OUTPUT = "pooler_output"


def possible_heads(origin: ExportOrigin, stored: Iterable[str], ranks: Iterable[int]) -> tuple[str, ...]:
    """The heads that a file may have: those that it says, or by the parameters that it, or the model, has. `stored` are
    the names of its tensors, `ranks` the numbers of its inputs' axes.

    A classifier is one of tokens unless there is a pooler, if the model's architecture doesn't say."""
    if origin.heads is not None:
        return origin.heads
    sentences = origin.naming.theirs("cls.seq_relationship.bias")  # may be called a classifier's
    names = [name for name in (*stored, *origin.weights) if not name.endswith(sentences)]

    def has(ending: str) -> bool:
        return any(name.endswith(ending) for name in names)

    known = architectures().get(origin.architecture, ())
    if has(SPANS) or known == ("question_answering",):
        return ("question_answering",)
    if known and known[0] in CLASSIFIERS:
        return known
    if not has(CLASSIFIER):
        return PRETRAINING
    if 3 in ranks:
        return ("multiple_choice",)
    return ("sequence_classification",) if has(POOLER_BIAS) else ("token_classification",)


def heads_in(possible: Collection[str], graph: ReadGraph, weights: StoredWeights) -> tuple[str, ...]:
    """Those of the possible heads that the graph has, and its pooler: it computes with parameters of theirs, or has an
    output of their name. Of the model that was exported, the file may have a part."""

    def there(parameters: Iterable[str], outputs: Iterable[str]) -> bool:
        return not {*outputs}.isdisjoint(graph.outputs) or any(weights.uses(name) for name in parameters)

    found = tuple(head.name for head in expanded(tuple(possible)) if there(head.parameters, head.outputs))
    if {*found} == {head.name for head in expanded(PRETRAINING)}:
        return PRETRAINING
    if any(HEADS[name].pooler for name in found) or not there(POOLER, (POOLER_OUTPUT,)):
        return found
    return (POOLER_ALONE, *found)
