"""Embeddings: positions, token types, the factor of words, and inputs that were exchanged."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, all_rows, named, of_op
from ..scene import Scene
from .attention import HUGE, MASK, softmax
from .norms import norm_of
from .tools import formula, reads_what_is_right, sum_of, with_parameters

Values = Any
POSITIONS = {
    "torch": "position_ids = torch.arange(S), a buffer that is sliced", "JAX": "jnp.arange(S)[None]",
    "NumPy": "position_table[:S]", "C": "position_table + i * hidden",
}  # fmt: skip
TYPES = {
    "torch": "token_type_embeddings(token_type_ids); None becomes zeros", "JAX": "the argument token_type_ids",
    "NumPy": "type_table[token_type_ids]", "C": "type_table + type[i] * hidden",
}  # fmt: skip
SUM = {"torch": "words + types + positions", "JAX": "the sum of three lookups", "NumPy": "the sum of three lookups",
       "C": "the loop that adds three rows"}  # fmt: skip


def _looked_up(ids: Callable[[Scene, Any], Values]) -> Callable[[Scene, TensorRow, Any], Rewritten | None]:
    """A lookup at other ids, (B, S) or (S,); None where the table lacks one of them."""

    def make(scene: Scene, row: TensorRow, value: Any) -> Rewritten | None:
        table, shape = scene.params[row.parameters[0].name], scene.case.batch.input_ids.shape
        at = np.broadcast_to(ids(scene, value), shape)
        if at.max(initial=0) >= len(table):
            return None
        return Rewritten(Contribution((), lambda: table[at]))

    return make


def _next_words(scene: Scene, by: int) -> Values:
    return (scene.case.batch.input_ids + by) % scene.case.config.vocab_size


def _steps(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("1 less", -1)
    yield Possibility("1 more", 1)


def _columns(scene: Scene) -> Values:
    return np.arange(scene.case.batch.input_ids.shape[1])


def _places(scene: Scene) -> Values:
    """The right positions, (B, S)."""
    return scene.replay.graph.arithmetic.ids(scene.rows["embeddings.position"])


def _offsets(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    first = scene.case.config.first_position
    for by in dict.fromkeys((1, 2, -1, -first or 1)):
        words = f"{by}; the first token's is {first}"
        yield Possibility(words, (by, "around"))
        yield Possibility(f"{by}, cut off at the table's end; the first token's is {first}", (by, "clipped"))


def _shifted(scene: Scene, value: tuple[int, str]) -> Values:
    by, way = value
    rows = scene.case.config.max_position_embeddings
    places = _places(scene) + by
    return places % rows if way == "around" else np.clip(places, 0, rows - 1)


def _starts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("at its first token", "first")
    yield Possibility("less the number of columns of type 0, padding as well", "columns")


def _restarted(scene: Scene, start: str) -> Values:
    types, places = scene.case.batch.token_type_ids, _places(scene)
    zeros, first = np.sum(types == 0, axis=1, keepdims=True), np.argmax(types != 0, axis=1)[:, None]
    return np.where(types != 0, np.maximum(places - (first if start == "first" else zeros), 0), places)


def _counts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("all tokens of a row have the row's number in the batch", "row")
    counted = "tokens are counted through the whole batch"
    yield Possibility(f"{counted}, without padding, and begin anew after as many as a row of the batch is long", "anew")
    yield Possibility(f"{counted}, without padding, and stay at the table's last row", "packed")
    yield Possibility(f"{counted}, with its padding, and stay at the table's last row", "padded")


def _through_batch(scene: Scene, way: str) -> Values:
    mask, config = scene.case.batch.attention_mask.astype(np.int64), scene.case.config
    if way == "row":
        at = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)
    else:
        counted = np.ones_like(mask) if way == "padded" else mask
        at = (np.cumsum(counted) - counted.reshape(-1)).reshape(mask.shape)
    at = at % mask.shape[1] if way == "anew" else at
    return np.minimum(at + config.first_position, config.max_position_embeddings - 1)


def _reversed(scene: Scene, _: Any) -> Values:
    mask = scene.case.batch.attention_mask
    return np.maximum(mask.sum(axis=1, keepdims=True) - 1 - _columns(scene), 0) + scene.case.config.first_position


UNITS = 4
"""Roundings that the angle of a sinusoid may have gone through: of a power or an exponential, and of two products.
More: tables that are not quite sinusoids are taken for such; fewer: another library's power doesn't fit."""


def _sinusoids(scene: Scene, row: TensorRow, order: str) -> Rewritten | None:
    """Whoever computes an angle of 50 has an error 50 times that of its factors: within that, a sinusoid is the
    subject's own number."""
    width = scene.case.config.embedding_size or scene.case.config.hidden_size
    shape = (*scene.case.batch.input_ids.shape, width)
    if width % 2:
        return None

    def laid(first: Values, second: Values) -> Values:
        both = np.stack((first, second), -1).reshape(len(first), -1)
        return both if order == "in turn" else np.concatenate((first, second), -1)

    angles = _columns(scene)[:, None] / 10000 ** (np.arange(0, width, 2) / width)[None, :]
    right = np.broadcast_to(laid(np.sin(angles), np.cos(angles)), shape)
    unit = np.finfo(np.float64 if scene.precision == "float64" else np.float32).eps
    seen, error = scene.raw(row.name, right), UNITS * unit * laid(angles, angles)
    table = np.where(np.abs(seen - right) <= error, seen, right)
    return Rewritten(Contribution((), lambda: table))


def _sinusoid_ways(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("sine and cosine in turn", "in turn")
    yield Possibility("sines first, then cosines", "halves")


def _zeros(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Where it was recorded: else it is as if the rows were not added."""
    if row.name not in scene.values:
        return None
    made = scene.forward(row)
    return Rewritten(Contribution((), lambda: 0.0 * made.compute()))


def _over_padding(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    if not scene.case.config.variant.counts_tokens:
        return None
    return _looked_up(lambda scene, _: _columns(scene) + scene.case.config.first_position)(scene, row, None)


def _with_row(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """The sum and one row more, the same for all tokens: the mean of what the subject has more there."""
    seen = scene.values.get(row.name)
    if "embeddings.token_type" in scene.rows or seen is None:
        return None
    made, tokens = scene.forward(row), scene.case.batch.attention_mask.astype(bool)
    more = (np.asarray(seen, np.float64) - made.compute(*map(scene.replay.input, row.inputs)))[tokens].mean(axis=0)
    return formula(row, lambda *parts: made.compute(*parts) + more)


def _without(name: str) -> Callable[[Scene, TensorRow, Any], Rewritten]:
    def make(scene: Scene, row: TensorRow, _: Any) -> Rewritten:
        kept = [i for i, one in enumerate(row.inputs) if one != name]
        return formula(row, lambda *parts: sum(parts[i] for i in kept))

    return make


def _short(names: Sequence[str]) -> str:
    return " and ".join(name.removeprefix("embeddings.") for name in names)


def _root(scene: Scene) -> float:
    return math.sqrt(scene.case.config.hidden_size)


def _parts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """A choice's value: of some parts, how often each is added; or two whose product is; or nothing, for the mean."""
    if WORD in row.inputs and WORD in scene.values:  # else it is `words_scaled`
        yield Possibility("word embeddings are multiplied by sqrt(hidden size) before they are added", ((WORD, _root),))
    for name in row.inputs:
        yield Possibility(f"{_short([name])} embeddings are added twice", ((name, 2),))
        yield Possibility(f"{_short([name])} embeddings are subtracted", ((name, -1),))
    for twice, without in permutations(row.inputs, 2):
        words = f"{_short([twice])} embeddings are added twice, and {_short([without])} embeddings are not"
        yield Possibility(words, ((twice, 2), (without, 0)))
    for two in combinations(row.inputs, 2):
        yield Possibility(f"{_short(two)} embeddings are multiplied by each other, not added", two)
    yield Possibility("the embeddings are averaged, not added", ())


def _counted(scene: Scene, row: TensorRow, value: tuple[Any, ...]) -> Rewritten | None:
    if not value:
        return formula(row, lambda *parts: sum(parts) / len(parts))
    if not isinstance(value[0], str):
        times = {name: n(scene) if callable(n) else n for name, n in value}
        return sum_of(row, times) if times.keys() <= set(row.inputs) else None
    if not set(value) <= set(row.inputs):
        return None
    i, j = (row.inputs.index(name) for name in value)
    return formula(row, lambda *parts: parts[i] * parts[j] + sum(
        part for k, part in enumerate(parts) if k not in (i, j)))  # fmt: skip


def _normed_parts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    parts = scene.rows[TOTAL_NAME].inputs
    for number in range(1, len(parts)):
        for some in combinations(parts, number):
            yield Possibility(_short(some), some)


def _norm_of_parts(scene: Scene, row: TensorRow, some: tuple[str, ...]) -> Rewritten | None:
    """The norm of some parts of the sum, and the others added to it."""
    parts = scene.rows[TOTAL_NAME].inputs
    if row.inputs != (TOTAL_NAME,) or not set(some) <= set(parts) or not reads_what_is_right(scene, row):
        return None
    norm = norm_of(scene, row)

    def compute(*given: Values) -> Values:
        inside, after = ([x for x, name in zip(given, parts, strict=True) if (name in some) is which]
                         for which in (True, False))  # fmt: skip
        return norm(sum(inside)) + sum(after)

    return Rewritten(Contribution(parts, compute))


def _scaled_words(scene: Scene, row: TensorRow, value: float) -> Rewritten:
    made, factor = scene.forward(row), value if scene.precision == "float64" else float(np.float32(value))
    return Rewritten(Contribution((), lambda: factor * made.compute()))


def _rows(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("first", 0)
    yield Possibility("last", -1)


def _of_row(scene: Scene, row: TensorRow, which: int) -> Rewritten | None:
    ids = scene.replay.graph.arithmetic.ids(row)
    return _looked_up(lambda scene, _: ids[which])(scene, row, None)


def _one_type(scene: Scene, type: int) -> Values:
    return np.full(scene.case.batch.input_ids.shape, type)


def _types(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("0", 0)
    yield Possibility("1", 1)


def _starts_of_second(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("one token later", "later")
    yield Possibility("one token earlier, with the [SEP] before it", "earlier")


def _moved_types(scene: Scene, way: str) -> Values:
    types = scene.case.batch.token_type_ids
    if way == "later":
        return np.concatenate((types[:, :1], np.minimum(types[:, 1:], types[:, :-1])), axis=1)
    return np.concatenate((np.maximum(types[:, :-1], types[:, 1:]), types[:, -1:]), axis=1)


def _without_padding_row(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """The gradients of a row's parameters don't depend on what these are. None: the decoder has a matrix of its own."""
    name = row.parameters[0].name
    if name != scene.rows["embeddings.word"].parameters[0].name:
        return None
    table = np.array(scene.params[name], np.float64)
    table[scene.case.config.pad_token_id] = 0
    return replace(with_parameters(scene, row, {name: table}), parameters=scene.parameters(row))


def _exchanged(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    mask, types = scene.case.batch.attention_mask, scene.case.batch.token_type_ids
    if row.op == "lookup":
        return _looked_up(lambda *_: mask)(scene, row, None)
    kept_out = np.where(types.astype(bool)[:, None, None, :], 0.0, -HUGE)
    return Rewritten(Contribution(row.inputs, lambda scores: softmax(scores + kept_out)), padding=True)


TOTAL_NAME, WORD = "embeddings.sum", "embeddings.word"
POSITION, TYPE, TOTAL = named("embeddings.position"), named("embeddings.token_type"), named(TOTAL_NAME)

HYPOTHESES = (
    Hypothesis(
        "inputs.mask_and_types_swapped", named("embeddings.token_type", "probs"), _exchanged,
        lambda told: "attention_mask and token_type_ids are given in each other's place",
        {**MASK, "torch": "positional arguments: forward(input_ids, attention_mask, token_type_ids)"},
        "name the arguments", together=all_rows,
    ),
    Hypothesis(
        "embeddings.words_offset", named("embeddings.word"), _looked_up(_next_words),
        lambda told: f"words are looked up by ids that are {told.choice} than the batch's",
        {"torch": "word_embeddings(input_ids)", "JAX": "word_table[ids]", "NumPy": "word_table[ids]",
         "C": "word_table + id * hidden; languages that count from 1"},
        "look words up by their ids, which count from 0", choices=_steps,
    ),
    Hypothesis(
        "embeddings.positions_offset", POSITION, _looked_up(_shifted),
        lambda told: f"positions are off by {told.choice}",
        {**POSITIONS, "torch": "RoBERTa's rule: padding_idx + 1 is the first position"},
        "count positions from 0", choices=_offsets,
    ),
    Hypothesis(
        "embeddings.positions_restarted", POSITION, _looked_up(_restarted),
        lambda told: f"positions begin anew in the second segment, {told.choice}; they are counted through the whole "
                     "row",
        POSITIONS, "number the positions 0 to S - 1", choices=_starts,
    ),
    Hypothesis(
        "embeddings.positions_over_padding", POSITION, _over_padding,
        lambda told: "positions are counted over padding, which stands in front of some rows; its tokens have the "
                     "padding id's position, and the first real one the next",
        {**POSITIONS, "torch": "(ids != padding_id).cumsum(1) * (ids != padding_id) + padding_id"},
        "count the tokens that aren't the padding id",
    ),
    Hypothesis(
        "embeddings.positions_constant", POSITION, _looked_up(lambda scene, _: 0 * _places(scene)),
        lambda told: "all tokens have position 0", POSITIONS, "number the positions 0 to S - 1",
    ),
    Hypothesis(
        "embeddings.positions_through_batch", POSITION, _looked_up(_through_batch),
        lambda told: f"positions: {told.choice}; each row is counted by itself",
        {**POSITIONS, "torch": "torch.arange(B)[:, None].expand(B, S)", "C": "the index of a token in a packed batch"},
        "number the positions of each row 0 to S - 1", choices=_counts,
    ),
    Hypothesis(
        "embeddings.positions_reversed", POSITION, _looked_up(_reversed),
        lambda told: "positions are counted from the last token backwards", POSITIONS,
        "number the positions 0 to S - 1",
    ),
    Hypothesis(
        "embeddings.positions_sinusoidal", POSITION, _sinusoids,
        lambda told: f"positions are sinusoids ({told.choice}), not the model's learnt table",
        POSITIONS, "look positions up in the model's table", choices=_sinusoid_ways,
    ),
    Hypothesis(
        "embeddings.types_zero", TYPE, _looked_up(_one_type),
        lambda told: f"token types are taken for {told.choice} everywhere", TYPES, "hand token_type_ids on",
        choices=_types,
    ),
    Hypothesis(
        "embeddings.types_inverted", TYPE, _looked_up(lambda scene, _: 1 - scene.case.batch.token_type_ids),
        lambda told: "token types 0 and 1 are exchanged", TYPES, "the first segment has type 0",
    ),
    Hypothesis(
        "embeddings.types_moved", TYPE, _looked_up(_moved_types),
        lambda told: f"the second segment begins {told.choice}; it begins after the first [SEP]",
        {**TYPES, "NumPy": "np.cumsum(ids == sep, axis=1)"}, "the first [SEP] has type 0, what follows it 1",
        choices=_starts_of_second,
    ),
    Hypothesis(
        "embeddings.of_one_row", named("embeddings.word", "embeddings.token_type"), _of_row,
        lambda told: f"all rows of the batch have at {told.at} what the {told.choice} one has",
        {**TYPES, "torch": "input_ids[0], token_type_ids[0]", "NumPy": "type_table[token_type_ids[0]]"},
        "look each row's own ids up", choices=_rows,
    ),
    Hypothesis(
        "embeddings.padding_row", named("embeddings.word", "mlm.logits"), _without_padding_row,
        lambda told: f"the row of the padding token in the table of words is 0 ({told.at})",
        {"torch": "nn.Embedding(..., padding_idx=0), whose reset sets the row to 0, after the weights were loaded",
         "JAX": "a mask over the table", "NumPy": "table[0] = 0", "C": "a table that is cleared before it is filled"},
        "load the whole table: padding is kept out by the mask", together=all_rows,
    ),
    Hypothesis(
        "embeddings.table_of_zeros", of_op("lookup"), _zeros,
        lambda told: f"the rows of the table at {told.at} are 0",
        {**TYPES, "torch": "a table that a state dict had no numbers for"}, "load the table",
    ),
    Hypothesis(
        "embeddings.types_added", TOTAL, _with_row,
        lambda told: "one row more, the same for all tokens, is added to the embeddings; the network has no token "
                     "types",
        SUM, "leave it out",
    ),
    Hypothesis(
        "embeddings.types_missing", TOTAL, _without("embeddings.token_type"),
        lambda told: "token type embeddings are not added", SUM, "add them",
    ),
    Hypothesis(
        "embeddings.positions_missing", TOTAL, _without("embeddings.position"),
        lambda told: "position embeddings are not added", SUM, "add them",
    ),
    Hypothesis(
        "embeddings.parts", TOTAL, _counted, lambda told: told.choice, SUM,
        "add words, positions and token types, each once", choices=_parts,
    ),
    Hypothesis(
        "embeddings.norm_of_parts", named("embeddings.norm"), _norm_of_parts,
        lambda told: f"the norm of the embeddings is of {told.choice} embeddings alone, and the others are added to "
                     "it; it is the norm of the sum",
        {**SUM, "torch": "LayerNorm(words) + positions + types"},
        "add words, positions and token types, then normalise",
        choices=_normed_parts,
    ),
    Hypothesis(
        "embeddings.words_scaled", named("embeddings.word"), _scaled_words,
        lambda told: f"word embeddings are multiplied by {told.number}; BERT's are taken as they are",
        {**SUM, "torch": "word_embeddings(ids) * math.sqrt(hidden_size), as in the original Transformer"},
        "leave the factor out",
        number=Number("factor", 1e-3, 1e3, lambda scene: {
            "sqrt(hidden size)": math.sqrt(scene.case.config.hidden_size), "1/2": 0.5, "2": 2.0,
        }),
    ),
)  # fmt: skip
