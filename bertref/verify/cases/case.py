"""Cases: questions that an implementation can't answer rightly by chance.

Fresh weights hide most mistakes: with gains of 1 and biases of 0 a forgotten bias or gain costs nothing, without
padding a mask is never used, with one segment the segments aren't, with equal numbers of predictions a wrong
weighting is right. So a generated case has

- rich weights: gains around 1, biases far from 0, all of a size that keeps activations near 1 at any width;
- embeddings as small as those of trained models (row variance about 0.002), where the norm's epsilon shows;
- ragged rows: one as long as the model allows, one of a single token, tokens that repeat, two segments;
- another number of predictions in every row, none in one;
- an optimiser step in the middle of a run: moments, clipping, decay and a positive rate.

Everything is drawn from the streams of `bertref.rng`, so that the seed and the options make the case again anywhere.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import BertConfig, Numerics, architecture_to_dict, numerics_to_dict
from ...data.pretraining.batch import PretrainingBatch
from ...errors import InputError
from ...heads import DECODER, check, parameter_shapes
from ...optim import RULES, Optimizer
from ...rng import generator
from ...variants import BERT, VARIANTS, Variant
from ..records import PRETRAINING, Arrays, Case, OptimizerCase
from .targets import HEADS, check_head, objective_of, targets

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"B": 5, "S": 13, "L": 2, "H": 24, "A": 3, "I": 56, "V": 67, "P": 4},
    "small": {"B": 6, "S": 24, "L": 3, "H": 60, "A": 5, "I": 168, "V": 211, "P": 6},
    "medium": {"B": 6, "S": 40, "L": 4, "H": 128, "A": 4, "I": 512, "V": 1000, "P": 8},
    "base": {"B": 4, "S": 48, "L": 12, "H": 768, "A": 12, "I": 3072, "V": 30522, "P": 10},
}
"""Sequences, their length, layers, hidden size, heads, intermediate size, vocabulary, predictions a row.

The small ones have odd and different numbers, so that a swapped axis can't hide."""

EDGES = ("", "masked-row", "large-scores", "full-rows", "padded-left")
"""masked-row: the last row is all padding; implementations legitimately differ there, so only the other rows are
judged, up to the sequence output. large-scores: queries and keys so long that the softmax is nearly one-hot. full-rows:
no padding, so that a span's loss is the same whether padding is counted or not. padded-left: every third row has its
padding in front, where positions that are counted over it are others; for heads that read no first token."""

OPTIONS = frozenset(
    {"dialect", "edge", "optimizer", "step", "hidden_act", "numerics", "head", "labels", "choices", "variant",
     "E", "G", *SIZES["tiny"]}
)
"""What `generate` takes besides seed and size; the letters are those of `SIZES`."""

OF_NETWORK = ("model_type", "type_vocab_size", "pad_token_id")
"""Settings that a generated case has as the published models of its network."""

STEP = 7
"""The number of the update that is asked for, unless another is: moments and both bias corrections count."""

JUDGED = tuple(name for name, rule in RULES.items() if rule.continuous)
"""The optimisers whose updates can be judged."""

PADDED_LEFT = ("masked_lm", "token_classification")
"""Heads that read no first token, which may be padding there."""

EMBEDDING_SCALE = 0.026
"""Of the embeddings' standard deviation: trained tables have rows of about this size. Larger: an epsilon of 1e-5 in
their norm changes less than rounding does; another value is another case for every seed."""


def generate(seed: int, *, size: str = "tiny", **options: Any) -> Case:
    """The case of a seed. Options (`OPTIONS`):

    dialect     "huggingface" (the default) or "google"; `numerics` are single fields of `Numerics` that differ from it
    optimizer   one of `JUDGED` instead of the dialect's own; None for no optimiser step
    step        the number of its update, from 1, instead of `STEP`
    hidden_act  "gelu", "relu" or "tanh"
    edge        one of `EDGES`
    head        one of `targets.HEADS`, with the number of `labels` (3; 1 for regression) or `choices` (3)
    variant     another network than BERT, by its `model_type`: "roberta", "distilbert", "albert", ...
    B, S, ...   numbers that differ from the size's; E and G, for ALBERT, are the width of its embeddings, two thirds of
                H unless it is given, and the number of groups of layers, 1

    Raises `InputError` for an unknown size or option and for numbers that contradict each other.
    """
    if size not in SIZES:
        raise InputError(f"case: no size {size!r}; there are {', '.join(SIZES)}")
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise InputError(f"case: no option {', '.join(unknown)}; there are {', '.join(sorted(OPTIONS))}")
    edge = options.get("edge", "")
    if edge not in EDGES:
        raise InputError(f"case: no edge {edge!r}; there are {', '.join(filter(None, EDGES))}")
    if (variant := VARIANTS.get(options.get("variant", "bert"))) is None:
        raise InputError(f"case: no variant {options['variant']!r}; there are {', '.join(VARIANTS)}")
    if {"E", "G"} & options.keys() and "num_hidden_groups" not in variant.own:
        raise InputError(f"case: E and G are of ALBERT's layers; {variant.title} has no such numbers")
    head, labels, choices = asked_head(options, variant)
    n = {**SIZES[size], **{letter: options[letter] for letter in SIZES[size] if letter in options}}
    if head == "multiple_choice" and "B" not in options:
        n["B"] = choices * max(n["B"] // choices, 2)
    if n["B"] < 1 or n["S"] < 3 or n["P"] < 1 or n["V"] < 16:
        raise InputError("case: at least 1 row (B), 3 tokens (S), 1 prediction (P) and 16 words (V) are needed")
    numerics = replace(Numerics.preset(options.get("dialect", "huggingface")), **options.get("numerics", {}))
    config = BertConfig(
        vocab_size=n["V"], hidden_size=n["H"], num_hidden_layers=n["L"], num_attention_heads=n["A"],
        intermediate_size=n["I"], hidden_act=options.get("hidden_act", "gelu"),
        **_own_settings(variant, options.get("E", 2 * n["H"] // 3), options.get("G", 1)),
    )  # fmt: skip
    config = replace(config, max_position_embeddings=n["S"] + config.first_position)
    if edge == "padded-left" and head not in PADDED_LEFT:
        raise InputError(f"case: the edge padded-left is for {' and '.join(PADDED_LEFT)}; {head} reads the first token")
    heads = HEADS[head]
    params = rich_parameters(
        config, seed, sharp=8.0 if edge == "large-scores" else 1.0, heads=heads, num_labels=labels
    )
    batch = ragged_batch(config, n["B"], n["S"], n["P"], seed, edge=edge)
    wanted = targets(head, batch, n["H"], seed, labels=labels, choices=choices)
    kind = options.get("optimizer", numerics.optimizer)
    step = None if kind is None else optimizer_case(params, numerics, seed, kind, step=options.get("step", STEP))
    origin = {"made": "generated", "seed": seed, "size": size, "options": dict(sorted(options.items()))}
    shown = {name: value for name, value in options.items() if name != "numerics"} | dict(options.get("numerics", {}))
    words = [size, f"seed {seed}", *(f"{name}={value}" for name, value in sorted(shown.items()))]
    return Case(", ".join(words), config, numerics, params, batch, step, origin, heads, head, wanted)


def _own_settings(variant: Variant, width: int, groups: int) -> dict[str, Any]:
    """The settings of a generated config that the network decides."""
    own = {"embedding_size": width, "num_hidden_groups": groups}
    found = {name: value for name, value in variant.settings.items() if name in OF_NETWORK}
    return found | {name: value for name, value in own.items() if name in variant.own}


def asked_head(options: Mapping[str, Any], variant: Variant = BERT) -> tuple[str, int, int]:
    """Objective, labels and choices that options ask for, the first else that of the network's pre-training. Raises
    `InputError` where they don't belong together, or not to the network."""
    head, labels, choices = (options.get(name) for name in ("head", "labels", "choices"))
    head = head or ("masked_lm" if "next_sentence" in variant.lacks else "pretraining")
    check_head(head, labels, choices)
    if {*HEADS[head]} & {*variant.lacks}:
        raise InputError(f"case: {variant.title} has no head for {head}")
    return head, labels or (1 if head == "regression" else 3), choices or 3


def generate_for(
    config: BertConfig,
    numerics: Numerics,
    seed: int,
    *,
    params: Mapping[str, npt.NDArray[Any]] | None = None,
    rows: int = 5,
    length: int = 24,
    predictions: int = 4,
    optimizer: bool = True,
    heads: tuple[str, ...] = PRETRAINING,
    num_labels: int = 2,
    objective: str | None = None,
    choices: int | None = None,
    tied: bool = True,
    token_types: bool = True,
    embedding: tuple[str, ...] = (),
    layers: Mapping[str, npt.NDArray[Any]] = MappingProxyType({}),
) -> Case:
    """A generated batch for a subject's own architecture and, where `params` are given, its own weights.

    Of `params` the absent names get generated values. `length` is cut to what the model allows. Raises `InputError`
    for a parameter of another shape than the config's or that it doesn't have.

    heads, num_labels   those of the model
    objective, choices  what its answers go on to, a name of `targets.HEADS`; None: what the heads are mostly used for
    tied                whether the decoder has no table of its own, where `params` hold none
    token_types         whether the model reads them; else all are 0
    embedding, layers   what makes a vector of a text (`topology.rows`): then there is no objective; and the weights of
                        its dense layers
    """
    tied = tied and (params is None or DECODER not in params)
    held = rich_parameters(config, seed, heads=heads, num_labels=num_labels, tied=tied)
    if params is not None:
        held |= {name: single(np.asarray(value)) for name, value in params.items()}
        check(held, config, heads, num_labels=num_labels)
    objective = None if embedding else objective or objective_of(heads, num_labels)
    S, choices = min(length, config.max_length), choices or 3
    if objective == "multiple_choice":
        rows = choices * max(rows // choices, 2)
    batch = ragged_batch(config, rows, S, min(predictions, max(S - 1, 1)), seed)
    if not token_types:
        batch = replace(batch, token_type_ids=np.zeros_like(batch.token_type_ids))
    step = optimizer_case(held, numerics, seed) if optimizer and objective else None
    wanted = targets(objective, batch, config.hidden_size, seed, labels=num_labels, choices=choices)
    origin = {
        "made": "for the subject's model", "seed": seed, "rows": rows, "length": S, "predictions": predictions,
        "digest": arrays_digest(held),
    }  # fmt: skip
    name = f"the subject's model, seed {seed}"
    return Case(name, config, numerics, held, batch, step, origin, heads, objective, wanted | dict(layers), embedding)


def arrays_digest(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """A short mark of arrays' values, by which two cases of different models are told apart."""
    mark = 0
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name], np.float64)
        mark = zlib.crc32(np.asarray([values.sum(), np.abs(values).sum()]).tobytes(), mark)
        mark = zlib.crc32(values.reshape(-1)[:65536].tobytes(), mark)
    return f"{mark:08x}"


def replay(origin: Mapping[str, Any]) -> Case:
    """The case that a report's `origin` describes, reductions by `shrink` included.

    Raises `InputError` where it was not made by `generate`: the user's model and texts aren't in the origin.
    """
    from .shrink import reduce_case

    if origin.get("made") != "generated":
        raise InputError("this case was made from a model and texts; give them again to make it again")
    case = generate(origin["seed"], size=origin["size"], **origin.get("options", {}))
    return reduce_case(case, **origin["reduced"]) if origin.get("reduced") else case


# ---------------------------------------------------------------------------------------------------------------------
# the parts


def single(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """float64 values that float32 holds exactly."""
    return values.astype(np.float32).astype(np.float64)


def rich_parameters(
    config: BertConfig,
    seed: int,
    *,
    sharp: float = 1.0,
    heads: tuple[str, ...] = PRETRAINING,
    num_labels: int = 2,
    tied: bool = True,
) -> Arrays:
    """Weights under which nothing is without effect; `sharp` multiplies the queries' and keys' weights."""

    def drawn(number: int, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        draw = generator(seed, "case", 1, number)
        values = draw.standard_normal(shape)
        if name.endswith("LayerNorm.weight"):
            values = np.maximum(1.0 + 0.2 * values, 0.25)
        elif "embeddings.weight" in name:
            values = EMBEDDING_SCALE * values
        elif name.endswith("bias"):
            values = 0.3 * values
        else:
            gain = 1.4 if "intermediate" in name or name.endswith("output.dense.weight") else 1.0
            gain *= sharp if ".query." in name or ".key." in name else 1.0
            values = gain / np.sqrt(shape[-1]) * values
        return single(values)

    shapes = parameter_shapes(config, heads, num_labels=num_labels, tied=tied)
    return dict(zip(shapes, _together(drawn, range(len(shapes)), shapes, shapes.values()), strict=True))


def _together(draw: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """`draw` of the first of each of the arguments, of the second, ..., two at a time: every one has its own stream."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(draw, *arguments))


def ragged_batch(
    config: BertConfig, rows: int, length: int, predictions: int, seed: int, *, edge: str = ""
) -> PretrainingBatch:
    """Rows of up to `length` tokens; the first is full, the second (of three or more) has one token, the others are in
    between. The first row has all predictions, the second none, the others 1, 2, ... again and again."""
    S = length
    draw = generator(seed, "case", 2)
    lengths = np.sort(draw.integers(3, S, size=rows, endpoint=True))[::-1].copy()
    lengths[0] = S
    if rows >= 3:
        lengths[1] = 1
    if edge == "masked-row":
        lengths[-1] = 0
    if edge == "full-rows":
        lengths[:] = S
    words = draw.choice(np.arange(5, config.vocab_size), size=min(max(6, S // 2), config.vocab_size - 5), replace=False)
    mask = np.arange(S) < lengths[:, None]
    second = np.arange(S) >= np.maximum(lengths // 2, 1)[:, None]
    ids = np.where(mask, draw.choice(words, size=(rows, S)), config.pad_token_id)
    shape = (rows, predictions)
    positions, labels, weights = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for b, length in enumerate(lengths.tolist()):
        wanted = predictions if b == 0 else 0 if b == 1 else 1 + (b - 2) % predictions
        count = min(wanted, max(length - 1, 0))
        positions[b, :count] = np.sort(draw.choice(np.arange(1, length), count, replace=False)) if count else 0
        labels[b, :count] = draw.integers(0, config.vocab_size, count)
        weights[b, :count] = 1
    batch = PretrainingBatch(
        input_ids=ids.astype(np.int32), attention_mask=mask.astype(np.int32),
        token_type_ids=(second & mask & (config.type_vocab_size > 1)).astype(np.int32),
        masked_lm_positions=positions, masked_lm_ids=labels,
        masked_lm_weights=weights, next_sentence_label=(np.arange(rows) % 3 == 1).astype(np.int32),
        example=np.arange(rows, dtype=np.int64),
    )  # fmt: skip
    if edge == "padded-left":
        batch = _padded_left(batch)
    batch.validate(config)
    return batch


def _padded_left(batch: PretrainingBatch) -> PretrainingBatch:
    """Every third row, from the third on, moved to the right end."""
    S = batch.input_ids.shape[1]
    by = (S - batch.attention_mask.sum(axis=1)) * (np.arange(len(batch)) % 3 == 2)
    at = (np.arange(S) - by[:, None]) % S
    moved = {name: np.take_along_axis(getattr(batch, name), at, axis=1)
             for name in ("input_ids", "attention_mask", "token_type_ids")}  # fmt: skip
    positions = batch.masked_lm_positions + by[:, None] * (batch.masked_lm_weights > 0)
    return replace(batch, **moved, masked_lm_positions=positions.astype(np.int32))


def optimizer_case(
    params: Arrays, numerics: Numerics, seed: int, kind: str | None = None, *, step: int = STEP
) -> OptimizerCase:
    """One step of a run by the optimiser `kind`, None for the dialect's: moments as gradients of the clipped length
    leave them, so that every term of the update counts.

    The second moments differ from element to element, the first are small beside the gradients: an update made of
    moments alone would hide wrong gradients. Both are those of means that started at 0 before the first step, as bias
    correction expects. The clipping norm lies far below the norm of any rich case's gradients.

    Raises `InputError` for an optimiser whose update can't be judged (`Rule.continuous`).
    """
    clip = 0.125
    optimizer = Optimizer.from_numerics(numerics, **({"kind": kind} if kind else {}))
    if not optimizer.rule.continuous:
        raise InputError(
            f"case: an update by {optimizer.kind} can't be judged: where rounding decides a sign, a right one is off "
            f"by as much as a wrong one; choose {', '.join(JUDGED)} or none"
        )
    begun = [1 - beta ** (step - 1) for beta in optimizer.betas]
    typical = clip / np.sqrt(sum(p.size for p in params.values()))

    def drawn(number: int, name: str) -> Arrays:
        draw, shape = generator(seed, "case", 3, number), params[name].shape
        m = 0.2 * begun[0] * typical * draw.standard_normal(shape)
        both = {"m": m, "v": begun[1] * typical**2 * draw.uniform(0.5, 2.0, shape)}
        return {f"{name}/{which}": both[which].astype(np.float32) for which in optimizer.rule.moments}

    moments: Arrays = {}
    for some in _together(drawn, range(len(params)), params):
        moments |= some
    return OptimizerCase(optimizer, moments, step, 2.0**-7, clip, numerics.clip_epsilon)


# ---------------------------------------------------------------------------------------------------------------------
# the user's own model and texts


def from_model(
    params: Mapping[str, npt.NDArray[Any]],
    config: BertConfig,
    numerics: Numerics,
    tokenizer: Any,
    texts: Sequence[str],
    seed: int,
    *,
    optimizer: bool = True,
    name: str = "model",
    heads: tuple[str, ...] = PRETRAINING,
    num_labels: int = 2,
    objective: str | None = None,
    choices: int | None = None,
    embedding: tuple[str, ...] = (),
    layers: Mapping[str, npt.NDArray[Any]] = MappingProxyType({}),
) -> Case:
    """A case of the user's weights (every parameter of a model with these heads; float32 values are kept, wider ones
    rounded) and texts.

    A text is a row; if it holds a tab, what follows is the second segment. Rows that are too long are cut. Tokens are
    hidden as in pre-training, drawn from `seed`; the next-sentence labels alternate. Raises `InputError` for weights
    that don't fit the config, without texts, and for a vocabulary without [MASK].
    """
    check(params, config, heads, num_labels=num_labels)
    if not texts:
        raise InputError("case: no texts; at least one line is needed")
    held = {key: single(np.asarray(value)) for key, value in params.items()}
    batch = batch_of_texts(config, tokenizer, texts, seed)
    objective = None if embedding else objective or objective_of(heads, num_labels)
    step = optimizer_case(held, numerics, seed) if optimizer and objective else None
    wanted = targets(objective, batch, config.hidden_size, seed, labels=num_labels, choices=choices or len(batch))
    marks = f"{arrays_digest(held)}-{zlib.crc32(chr(10).join(texts).encode('utf-8')):08x}"
    origin = {"made": "model and texts", "name": name, "texts": len(texts), "seed": seed, "digest": marks}
    name = f"{name}, {len(texts)} texts, seed {seed}"
    return Case(name, config, numerics, held, batch, step, origin, heads, objective, wanted | dict(layers), embedding)


def batch_of_texts(config: BertConfig, tokenizer: Any, texts: Sequence[str], seed: int) -> PretrainingBatch:
    """The texts as rows of a pre-training batch; `tokenizer` is a `bertref.text.Tokenizer`."""
    from ...data.pretraining.batch import from_labels
    from ...data.pretraining.masking import MaskingRules, mask_tokens
    from ...rng import StreamRandom

    parts = [text.split("\t", 1) for text in texts]
    encodings = [
        tokenizer.encode(part[0], part[1] if len(part) > 1 else None, config.max_length) for part in parts
    ]
    rules = MaskingRules.of(tokenizer.vocab)
    S = max(len(e.input_ids) for e in encodings)
    ids = np.full((len(texts), S), config.pad_token_id, np.int64)
    types, mask, labels = np.zeros_like(ids), np.zeros_like(ids), np.full_like(ids, -100)
    for b, encoding in enumerate(encodings):
        length = len(encoding.input_ids)
        ids[b, :length], types[b, :length], mask[b, :length] = encoding.input_ids, encoding.token_type_ids, 1
        chosen = mask_tokens(list(encoding.input_ids), rules, StreamRandom(seed, "case", 4, b))
        labels[b, chosen.positions] = chosen.labels
        ids[b, chosen.positions] = chosen.replacements
    batch = from_labels(
        ids, labels, attention_mask=mask, token_type_ids=types, next_sentence_label=np.arange(len(texts)) % 2
    )
    batch.validate(config)
    return batch


# ---------------------------------------------------------------------------------------------------------------------
# JSON


def describe(case: Case) -> dict[str, Any]:
    """Origin, sizes and every hyperparameter of a case as JSON: what a report prints and an exporter writes."""
    step = case.optimizer
    return {
        "name": case.name,
        "origin": dict(case.origin),
        "config": architecture_to_dict(case.config),
        "numerics": numerics_to_dict(case.numerics),
        "rows": len(case.batch),
        "length": int(case.batch.input_ids.shape[1]),
        **({} if case.heads == PRETRAINING else {"heads": list(case.heads), "objective": case.objective}),
        **({} if case.tied else {"tied": False}),
        **({"embedding": list(case.embedding)} if case.embedding else {}),
        "optimizer": None if step is None else {
            **step.optimizer.to_dict(), "step": step.step, "rate": step.rate, "clip_norm": step.clip_norm,
            "clip_epsilon": step.clip_epsilon,
        },
    }  # fmt: skip
