"""How a run tells what it does: events with plain values, for whoever draws, logs or stores them. The objective names
its losses and figures.

message    {text}
prepare    {documents, sentences, tokens}          while text is tokenised
start      {parameters, tokens, steps, first_step, backend, ...}
step       {step, steps, loss, NAME_loss of its parts, figures, gradient_norm, learning_rate, tokens, seconds, ...}
eval       {step, on, figures, ...}
saved      {step, path}
done       {status, step, out, ...}
"""

from collections.abc import Callable
from typing import Any, TypeAlias

Report: TypeAlias = Callable[[str, dict[str, Any]], None]


def silent(event: str, values: dict[str, Any]) -> None:
    """Tells nobody."""
