"""What each word added to the answer: gradient x input, and integrated gradients.

F is the target (`targets`) as a function of the word vectors x (S, H); positions, token types and the vectors of [CLS]
and [SEP] are kept, and so is the [MASK] that is asked for: it is the question.

    gradient x input       value(token) = Σ_h x_h · ∂F/∂x_h
    integrated gradients   value(token) = Σ_h (x_h - x'_h) · ∫ ∂F/∂x_h (x' + α (x - x')) dα,   α from 0 to 1

x' has the vector of [PAD] in place of every word's. By the fundamental theorem of calculus the values of integrated
gradients add up to F(x) - F(x'), the completeness; those of gradient x input add up to F(x) - F(0) only where F is
linear, and are not complete. The integral is taken by the Gauss-Legendre rule, whose nodes are doubled until the sum is
right to `TOLERANCE` or there are `MOST_NODES`. A word's value is the sum of its pieces'.

Source: Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", sections 3 and 5; gradient x input:
Shrikumar, Greenside, Kundaje 2017, "Learning Important Features Through Propagating Activation Differences".
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import InputError, TextError
from ...heads import HEADS, tasks
from ...text.encoding import Truncate
from ..loaded import Loaded, batches
from ..sequence_classification import windows_for
from .gradients import Vectors, sequences_at_once, values_and_gradients, word_vectors
from .reading import ReadText, WordPlace, read
from .records import TOLERANCE, Explanation, WordValue
from .targets import Target, label_target, named, word_target

FIRST_NODES, MOST_NODES = 64, 512
LABELS, WORDS = HEADS["sequence_classification"].task, HEADS["masked_lm"].task
EXPLAINED = (LABELS, WORDS)
"""The tasks whose answers are explained."""


class Attributed(NamedTuple):
    """Values (S) of the tokens, F(x), F(x) - F(baseline), and at how many nodes the gradient was taken."""

    values: npt.NDArray[np.float64]
    value: float
    difference: float
    nodes: int


def explain(
    loaded: Loaded,
    text: str,
    pair: str | None = None,
    *,
    method: str = "integrated",
    task: str | None = None,
    label: str | None = None,
    mask: int = 0,
    truncate: Truncate | None = None,
) -> Explanation:
    """What each word added to the label of a text or pair, or to the guess for its [MASK] of number `mask`.

    `task` is one of `EXPLAINED`; None: masked words if there is a mask and the model can guess, else the label. `label`
    is the label to be explained; None: the best. Raises `TextError` for a text that is too long (unless it is cut) or
    has no words, `InputError` for what this model can't do.
    """
    if method not in METHODS:
        raise InputError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    chosen = task_of(loaded, text, task)
    for option, given, belongs in (("label", label is not None, LABELS), ("mask", mask != 0, WORDS)):
        if given and chosen != belongs:
            raise InputError(f"{option} goes with {belongs}, not with {chosen}")
    reading = read(loaded, text, pair, truncate)
    if chosen == LABELS:
        _check_one_window(loaded, len(reading.encoding.input_ids), truncate)
        target: Target = label_target(loaded, reading.encoding, label)
    else:
        target = word_target(loaded, reading.encoding, mask)
    words = [word for word in reading.words if target.position not in word.tokens]
    if not words:
        raise TextError({0: f"can't be explained: it has no words beside {loaded.tokenizer.vocab.notation.mask}"})
    baseline = loaded.tokenizer.vocab.notation.pad if method == PATH else "0"
    moved = np.zeros(len(reading.encoding.input_ids), bool)
    moved[[position for word in words for position in word.tokens]] = True
    return _record(reading, method, target, words, baseline, METHODS[method](loaded, target, reading, moved))


def task_of(loaded: Loaded, text: str, task: str | None) -> str:
    """The task whose answer is explained. Raises `InputError` if there is none, or the model can't do it."""
    able = [name for head, name in tasks().items() if head in loaded.heads]
    masked = loaded.tokenizer.vocab.notation.mask in text
    for_text = WORDS if WORDS in able and (masked or LABELS not in able) else LABELS
    chosen = task or for_text
    if chosen not in EXPLAINED or chosen not in able:
        does = f"this model does {', '.join(able)}" if able else "this model is an encoder alone"
        raise InputError(f"answers of {' and '.join(EXPLAINED)} can be explained, no others; {does}")
    return chosen


def _check_one_window(loaded: Loaded, length: int, truncate: Truncate | None) -> None:
    """Raises `TextError` where the label would be that of several windows: it is no function of one sequence."""
    windows = windows_for(loaded, truncate, None)
    if windows is not None and length > windows.max_length:
        raise TextError({
            0: f"can't be explained: it has {length} tokens, and this model answers through windows of "
            f"{windows.max_length}. Shorten it, or cut it: truncate (--truncate head)"
        })


def integrated(loaded: Loaded, target: Target, reading: ReadText, moved: npt.NDArray[np.bool_]) -> Attributed:
    """Integrated gradients of the `moved` (S) tokens from the vector of [PAD]."""
    ids = reading.encoding.input_ids
    x = word_vectors(loaded, ids)
    start = np.where(moved[:, None], word_vectors(loaded, [loaded.tokenizer.vocab.pad]), x)
    first, last = (_at(loaded, target, reading, vectors)[0] for vectors in (start, x))
    difference, nodes = last - first, FIRST_NODES
    while True:
        values = ((x - start) * _mean_gradient(loaded, target, reading, start, x, nodes)).sum(axis=1)
        if abs(values.sum() - difference) <= TOLERANCE * abs(difference) or nodes >= MOST_NODES:
            return Attributed(values, last, difference, nodes)
        nodes *= 2


def _mean_gradient(
    loaded: Loaded, target: Target, reading: ReadText, start: Vectors, end: Vectors, nodes: int
) -> Vectors:
    """∫ of the gradient (S, H) along the straight line from start to end, by the Gauss-Legendre rule on [0, 1]."""
    places, weights = gauss_legendre(nodes)
    total = np.zeros_like(start)
    for some in batches(range(nodes), sequences_at_once(loaded, len(start))):
        alphas = places[list(some), None, None]
        _, grads = values_and_gradients(loaded, target, reading.encoding, start + alphas * (end - start))
        total += np.tensordot(weights[list(some)], grads, 1)
    return total


def gauss_legendre(nodes: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places and weights on [0, 1]: exact for polynomials of degree below 2 · nodes."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return (places + 1) / 2, weights / 2


def gradient_times_input(
    loaded: Loaded, target: Target, reading: ReadText, moved: npt.NDArray[np.bool_]
) -> Attributed:
    """The gradient at the text times the vectors of the `moved` (S) tokens."""
    x = word_vectors(loaded, reading.encoding.input_ids)
    first, _ = _at(loaded, target, reading, np.where(moved[:, None], 0, x))
    last, gradient = _at(loaded, target, reading, x)
    return Attributed((x * gradient).sum(axis=1) * moved, last, last - first, 1)


def _at(loaded: Loaded, target: Target, reading: ReadText, vectors: Vectors) -> tuple[float, Vectors]:
    """F and its gradient (S, H) for one set of word vectors (S, H)."""
    (value,), (gradient,) = values_and_gradients(loaded, target, reading.encoding, vectors[None])
    return float(value), gradient


PATH = "integrated"
"""The method that starts from the vector of [PAD]; the other's words start from 0."""
METHODS: dict[str, Callable[[Loaded, Target, ReadText, npt.NDArray[np.bool_]], Attributed]] = {
    PATH: integrated, "gradient": gradient_times_input,
}  # fmt: skip


def _record(
    reading: ReadText, method: str, target: Target, words: list[WordPlace], baseline: str, found: Attributed
) -> Explanation:
    values = tuple(
        WordValue(
            reading.texts[word.segment][word.start : word.end], word.start, word.end,
            math.fsum(found.values[list(word.tokens)]), word.segment,
        )
        for word in words
    )  # fmt: skip
    return Explanation(
        text=reading.texts[0], pair=reading.texts[1] if len(reading.texts) > 1 else None, method=method,
        target=named(target), label=target.label, other=target.other, position=target.position, words=values,
        value=found.value, baseline=baseline, difference=found.difference,
        sum=math.fsum(word.value for word in values), nodes=found.nodes,
    )  # fmt: skip
