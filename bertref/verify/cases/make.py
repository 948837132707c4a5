"""A case as a user asks for it: generated from a seed, of a config, or of a model and texts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...checkpoint import SavedModel, load_model
from ...config import BertConfig, Numerics, read_config
from ...errors import InputError
from ...heads import DECODER, parameter_shapes
from ...optim import LEFT_OUT, RULES
from ..records import Case
from .case import JUDGED, SIZES, STEP, asked_head, from_model, generate, generate_for, optimizer_case
from .targets import HEADS, LABELLED, PROBLEMS, TASK_HEADS, objective_of

OPTIMIZERS = (*JUDGED, "none")


def make_case(
    *,
    seed: int = 0,
    size: str = "tiny",
    dialect: str | None = None,
    edge: str = "",
    optimizer: str | None = None,
    step: int | None = None,
    numerics: Mapping[str, Any] = MappingProxyType({}),
    config: str | Path | None = None,
    model: str | Path | None = None,
    texts: Sequence[str] = (),
    head: str | None = None,
    labels: int | None = None,
    choices: int | None = None,
) -> Case:
    """The case. `size` and `edge` are those of `case.generate`, `optimizer` one of `OPTIMIZERS`, or None for the
    dialect's own; `step` is the number of its update, `numerics` single fields of the dialect.

    config   a config.json: the case has that architecture and generated weights, and rows of the size's numbers, no
             longer than the model allows
    model    any checkpoint that `checkpoint.load_model` reads: the case has its weights; heads that it lacks get
             generated ones. Beside a model, `config` is the config that its weights lack.
    head     one of `targets.HEADS`, with the number of `labels` or `choices`; None: the model's head of a task, if it
             has one, else that of pre-training
    texts    rows for the model, a tab before the second segment; without them rows of random words

    Raises `InputError` where these contradict each other, `CheckpointError` for a model that can't be read.
    """
    if size not in SIZES:
        raise InputError(f"case: no size {size!r}; there are {', '.join(SIZES)}")
    check_optimizer(optimizer, step)
    if texts and model is None:
        raise InputError("case: texts need the vocabulary of a model; name the model, too")
    if edge and (model is not None or config is not None):
        raise InputError(f"case: the edge {edge!r} belongs to generated cases; leave it out beside a model or config")
    preset = Numerics.preset(dialect) if dialect else None
    asked: dict[str, Any] = {"optimizer": optimizer, "step": step, "numerics": numerics}
    if model is not None:
        return chosen_case(_of_model(model, config, preset, texts, seed, size, (head, labels, choices)), seed, **asked)
    if config is not None:
        objective, num_labels, count = asked_head({"head": head, "labels": labels, "choices": choices})
        own = {"heads": HEADS[objective], "objective": objective, "num_labels": num_labels, "choices": count}
        return chosen_case(_of_config(config, preset, seed, size, own), seed, **asked)
    options: dict[str, Any] = {"dialect": dialect, "edge": edge, **asked}
    options |= {"head": head, "labels": labels, "choices": choices}
    options = {name: value for name, value in options.items() if value}
    return generate(seed, size=size, **{**options, **({"optimizer": None} if optimizer == "none" else {})})


def check_optimizer(kind: str | None, step: int | None = None) -> None:
    """Raises `InputError` for an optimiser that there isn't, and for the step of none."""
    if kind not in (None, "none", *RULES):
        why = LEFT_OUT.get(str(kind), f"there are {', '.join(OPTIMIZERS)}")
        raise InputError(f"case: no optimizer {kind!r}; {why}")
    if kind == "none" and step is not None:
        raise InputError(f"case: step {step} of no optimiser; leave one of the two out")


def chosen_case(
    case: Case,
    seed: int,
    *,
    optimizer: str | None = None,
    step: int | None = None,
    numerics: Mapping[str, Any] = MappingProxyType({}),
) -> Case:
    """A case of somebody's model with what a user chooses about it: the optimiser, None for the dialect's, or "none",
    the number of its step, fields of the dialect.

    Raises `InputError` for values that there aren't."""
    check_optimizer(optimizer, step)
    chosen = {"optimizer": optimizer, "step": step, "numerics": dict(numerics)}
    changed = replace(
        case, numerics=replace(case.numerics, **numerics),
        origin={**case.origin, **{name: value for name, value in chosen.items() if value}},
    )  # fmt: skip
    if optimizer == "none":
        return replace(changed, optimizer=None)
    made = optimizer_case(case.params, changed.numerics, seed, optimizer, step=step or STEP)
    return replace(changed, optimizer=made)


def _of_config(
    path: str | Path, preset: Numerics | None, seed: int, size: str, own: dict[str, Any]
) -> Case:
    """`own`: the heads and their numbers."""
    config, numerics = read_config(path, dialect=preset)
    case = generate_for(config, numerics, seed, optimizer=False, **numbers(config, size), **own)
    return replace(case, name=f"{Path(path).name}, seed {seed}")


def _of_model(
    path: str | Path, config: str | Path | None, preset: Numerics | None, texts: Sequence[str], seed: int, size: str,
    head: tuple[str | None, int | None, int | None],
) -> Case:  # fmt: skip
    saved = load_model(path, config=config, dialect=preset)
    if texts and saved.tokenizer is None:
        raise InputError(f"{path}: has no vocabulary to read the texts with; leave out the texts")
    own = _own_head(saved, *head)
    name, shapes = Path(path).name, {"num_labels": own["num_labels"], "tied": DECODER not in saved.params}
    known = parameter_shapes(saved.config, own["heads"], **shapes)
    params = {key: value for key, value in saved.params.items() if key in known}
    case = generate_for(
        saved.config, saved.numerics, seed, params=params, optimizer=False, **numbers(saved.config, size), **own
    )
    case = replace(case, name=f"{name}, seed {seed}")
    if texts:
        case = from_model(
            case.params, saved.config, saved.numerics, saved.tokenizer, texts, seed, optimizer=False, name=name, **own
        )
    return case


def _own_head(saved: SavedModel, head: str | None, labels: int | None, choices: int | None) -> dict[str, Any]:
    """The heads of a saved model, or the one that is asked for, and their numbers: what `generate_for` takes."""
    own = {problem: name for name, problem in PROBLEMS.items()}.get(saved.problem_type or "")
    task = next((name for name in saved.heads if name in TASK_HEADS), None)
    if head is None and task is not None:
        head = own if task == "sequence_classification" and own else objective_of((task,), len(saved.labels) or 2)
    if labels is None and head in LABELLED and saved.labels:
        labels = len(saved.labels)
    objective, num_labels, count = asked_head({"head": head, "labels": labels, "choices": choices})
    return {"heads": HEADS[objective], "objective": objective, "num_labels": num_labels, "choices": count}


def numbers(config: BertConfig, size: str) -> dict[str, Any]:
    """Rows, their length and their predictions, as the size has them."""
    if config.vocab_size < 8 or config.max_length < 3:
        raise InputError("case: at least 8 words (vocab_size) and 3 positions (max_position_embeddings) are needed")
    return {"rows": SIZES[size]["B"], "length": SIZES[size]["S"], "predictions": SIZES[size]["P"]}
