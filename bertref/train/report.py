"""How a run tells what it does: events with plain values, for whoever draws, logs or stores them.

message    {text}
prepare    {documents, sentences, tokens}          while text is tokenised
start      {parameters, tokens, steps, first_step, backend, ...}
step       {step, steps, loss, mlm_loss, nsp_loss, gradient_norm, learning_rate, tokens, seconds, ...}
eval       {step, masked_lm_accuracy, masked_lm_loss, next_sentence_accuracy, next_sentence_loss, unigram_loss, on}
saved      {step, path}
done       {status, step, out, ...}
"""

from collections.abc import Callable
from typing import Any, TypeAlias

Report: TypeAlias = Callable[[str, dict[str, Any]], None]


def silent(event: str, values: dict[str, Any]) -> None:
    """Tells nobody."""
