"""Which of BERT's tensors a file's own outputs are: by what the graph computes, and by the names that people use."""

import re
from collections.abc import Mapping, Sequence

from ....heads.classifier import LOGITS as CLASSES
from ....heads.question_answering import SPAN_LOGITS as SPANS
from ....row import TensorRow
from .graph import SAME, ReadGraph
from .sentence import OUTPUT as EMBEDDING

HIDDEN_STATE = re.compile(r"hidden_states?[._]?(\d+)")
NAMES = {"pooler_output": "pooled", "prediction_logits": "mlm.logits", "seq_relationship_logits": "nsp.logits"}
"""As Hugging Face's models call them."""
SEQUENCES = ("last_hidden_state", "token_embeddings")
"""What transformers and sentence-transformers call the vectors of the tokens."""
LOGITS = (CLASSES, "mlm.logits", "nsp.logits")
HALVES = ("start_logits", "end_logits")
ARRANGED = SAME | {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}
"""What leaves a value's elements in their order."""
PARTS = ARRANGED | {"Split", "Slice", "Gather"}


def known_outputs(
    graph: ReadGraph, rows: Sequence[TensorRow], values: Mapping[str, str], last: str, sentence: str
) -> dict[str, tuple[str, ...]]:
    """Tensor -> the outputs of the file that are it, in order: one, or the two halves of a span's logits. `values` are
    those recognised in the graph, `last` and `sentence` the names of the sequence output and of the vector of a text.
    """
    names = {row.name for row in rows}
    claimed = {**NAMES, **dict.fromkeys(SEQUENCES, last), "logits": _single(names), EMBEDDING: sentence}
    computed = {graph.back(value, ARRANGED): tensor for tensor, value in values.items()}
    found: dict[str, tuple[str, ...]] = {}
    for output in graph.outputs:
        tensor = output if output in names else claimed.get(output) or _hidden_state(output)
        tensor = tensor or computed.get(graph.back(output, ARRANGED))
        if tensor in names:
            found.setdefault(str(tensor), (output,))
    if SPANS in names and SPANS not in found:
        parts = [name for name in graph.outputs if computed.get(graph.back(name, PARTS)) == SPANS]
        parts = list(HALVES) if set(HALVES) <= set(graph.outputs) else parts
        if len(parts) == len(HALVES):
            found[SPANS] = tuple(parts)
    return found


def _single(names: set[str]) -> str:
    """What a model with one head calls its logits."""
    found = [name for name in LOGITS if name in names]
    return found[0] if len(found) == 1 else ""


def _hidden_state(output: str) -> str | None:
    """`hidden_states.0` is what the embeddings make."""
    match = HIDDEN_STATE.fullmatch(output)
    return match and (f"layer.{int(match[1]) - 1}.output" if int(match[1]) else "embeddings.norm")
