"""The settings of a case, as nested dicts for JSON and as flat lines for programs without a parser; and its digest."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import BertConfig, architecture_to_dict, numerics_from_dict, numerics_to_dict
from ...errors import InputError
from ...optim import Optimizer
from ...variants import OWN
from ..cases.targets import HEADS, check_head
from ..own_model import asked
from ..records import PRETRAINING, Arrays, Case, OptimizerCase

STEP = ("step", "rate", "clip_norm", "clip_epsilon")


def settings(case: Case) -> dict[str, Any]:
    """Every number of the case that isn't in a tensor, in JSON form."""
    numerics, config = case.numerics, case.config
    return {
        **head(case),
        "sizes": sizes(case),
        "config": architecture_to_dict(config),
        "numerics": numerics_to_dict(numerics),
        "activation": numerics.activation(config.hidden_act),
        "scale": 1 / math.sqrt(config.head_size),
        "loss": losses(case),
        "optimizer": None if case.optimizer is None else _optimizer(case.optimizer),
        "decayed": [name for name in case.params if case.optimizer and case.optimizer.optimizer.decays(name)],
    }


TEXTS = {
    "next_sentence": "sum(cross_entropy of next_sentence_label) / denominator",
    "sequence_classification": "sum(cross_entropy of labels) / denominator",
    "regression": "sum((logits - labels)^2) / denominator",
    "multi_label": "sum(log(1 + exp(logits)) - labels * logits) / denominator",
    "token_classification": "sum(cross_entropy of labels, but -100) / denominator",
    "question_answering": "sum(cross_entropy of start_positions and end_positions, over a row's tokens) / denominator",
    "multiple_choice": "sum(cross_entropy of labels, over a question's choices) / denominator",
    "encoder": "sum(upstream.sequence * the last layer's output)",
    "pooler": "sum(upstream.sequence * the last layer's output) + sum(upstream.pooled * pooled)",
    "sentence_embedding": "sum(upstream.sentence * sentence.embedding)",
}
"""What loss.total is, for heads other than pre-training's."""


def head(case: Case) -> dict[str, Any]:
    """The head of a case and its numbers; nothing for that of pre-training, which version 1 always had."""
    if case.heads == PRETRAINING and case.tied:
        return {}
    numbers = {"labels": case.num_labels, "choices": case.choices if "multiple_choice" in case.heads else 0}
    return {"head": {"name": case.objective, "tied": case.tied, **numbers}}


def losses(case: Case) -> dict[str, Any]:
    """What the losses are, in words, and what they are divided by."""
    objective, batch = asked(case)
    divide_by = objective.denominators(batch, case.numerics)
    mlm = {"mlm": "sum(masked_lm_weights * cross_entropy) / mlm_denominator", "mlm_denominator": divide_by.get("mlm")}
    nsp = {"nsp": "sum(cross_entropy) / nsp_denominator", "nsp_denominator": divide_by.get("nsp")}
    if case.objective in ("pretraining", "masked_lm"):
        return {"total": "mlm", **mlm} if case.objective == "masked_lm" else {"total": "mlm + nsp", **mlm, **nsp}
    found = {"total": TEXTS[str(case.objective)]}
    number = divide_by.get("loss")
    twice = 2 if case.objective == "question_answering" else 1
    return found if number is None else {**found, "denominator": number * twice}


def sizes(case: Case) -> dict[str, int]:
    """The letters of the shapes: T real tokens and N real predictions of the whole batch, the rest as usual."""
    (B, S), P = case.batch.input_ids.shape, case.batch.masked_lm_positions.shape[1]
    c = case.config
    return {"B": B, "S": S, "T": int(np.count_nonzero(case.batch.attention_mask)), "P": P,
            "N": int(np.count_nonzero(case.batch.masked_lm_weights)), "H": c.hidden_size, "A": c.num_attention_heads,
            "D": c.head_size, "I": c.intermediate_size, "V": c.vocab_size, "layers": c.num_hidden_layers}  # fmt: skip


def _optimizer(step: OptimizerCase) -> dict[str, Any]:
    own = {**step.optimizer.to_dict(), "decay_exclusions": list(step.optimizer.decay_exclusions)}
    return {**own, **{name: getattr(step, name) for name in STEP}}


def flat(case: Case) -> Iterator[tuple[str, str]]:
    """The lines of `settings.tsv`: key and value. Booleans are 0 and 1, an absent value is `none`; a setting that BERT
    hasn't got has a line where it is said."""
    values = settings(case)
    said, unsaid = values["config"].keys(), OWN | {"model_type"}
    values["config"] = {key: v for key, v in asdict(case.config).items() if key in said or key not in unsaid}
    decayed = set(values.pop("decayed"))
    values["loss"] = {name: value for name, value in values["loss"].items() if not isinstance(value, str)}
    yield from _flatten("", values)
    if case.optimizer:
        for name in case.params:
            yield f"decay.{name}", str(int(name in decayed))


def _flatten(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{key}.", value)
        elif isinstance(value, list):
            yield prefix + key, ",".join(map(str, value)) or "none"
        else:
            yield prefix + key, "none" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def restore(values: Mapping[str, Any], moments: Arrays, where: str) -> dict[str, Any]:
    """The fields config, numerics and optimizer of the `Case` that `settings` described. Raises `InputError`."""
    try:
        config = BertConfig(**values["config"])
        numerics = numerics_from_dict(values["numerics"], where=where)
        step = dict(values["optimizer"]) if values["optimizer"] is not None else None
        found = {"config": config, "numerics": numerics, "optimizer": None, **_restored_head(values)}
        if step is None:
            return found
        rest = {name: step.pop(name) for name in STEP}
        return {**found, "optimizer": OptimizerCase(optimizer=Optimizer(**step), moments=moments, **rest)}
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: its settings are incomplete or damaged ({error}); export the case again") from None


def _restored_head(values: Mapping[str, Any]) -> dict[str, Any]:
    name = values.get("head", {}).get("name", "pretraining")
    check_head(name)
    return {"heads": HEADS[name], "objective": name}


def stored(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Floats in the narrowest of float32 and float64 that holds them exactly, little-endian and contiguous."""
    array = np.asarray(array)
    if array.dtype == np.float64:
        with np.errstate(over="ignore", under="ignore"):
            narrow = array.astype(np.float32)
        if np.array_equal(narrow, array):
            array = narrow
    return _little(array)


def _little(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


Question = tuple[str, str, npt.NDArray[Any]]


def questions(case: Case) -> Iterator[Question]:
    """(kind, name, array) of every tensor that makes up the question, as it is stored."""
    for name, array in case.params.items():
        yield "parameter", name, stored(array)
    for name, array in case.batch.items():
        yield "batch", name, stored(array)
    for name, array in case.targets.items():
        yield "target", name, stored(array)
    for name, array in case.optimizer.moments.items() if case.optimizer else ():
        yield "moment", name, _little(array)  # of either width, which is kept


def settings_digest(case: Case, tensors: Iterable[Question] | None = None) -> str:
    """What tells this case from every other: a sha256 over its settings and tensors, whatever files hold them.

    Where the case came from (name, origin) doesn't enter: the same question has the same digest. `tensors` are its
    `questions`, if they were computed already.
    """
    values = settings(case)
    kept = {key: values[key] for key in ("config", "numerics", "optimizer", "head") if key in values}
    total = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    for kind, name, array in questions(case) if tensors is None else tensors:
        total.update(f"{kind} {name} {array.dtype.name} {array.shape}\n".encode())
        total.update(array.data if array.ndim and array.size else array.tobytes())
    return total.hexdigest()[:32]
