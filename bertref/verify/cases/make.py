"""A case as a user asks for it: generated from a seed, of a config, or of a model and texts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...checkpoint import load_model
from ...config import BertConfig, Numerics, read_config
from ...errors import InputError
from ...heads import parameter_shapes
from ...optim import LEFT_OUT, RULES
from ..records import PRETRAINING, Case
from .case import JUDGED, SIZES, STEP, from_model, generate, generate_for, optimizer_case

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
) -> Case:
    """The case. `size` and `edge` are those of `case.generate`, `optimizer` one of `OPTIMIZERS`, or None for the
    dialect's own; `step` is the number of its update, `numerics` single fields of the dialect.

    config   a config.json: the case has that architecture and generated weights, and rows of the size's numbers, no
             longer than the model allows
    model    any checkpoint that `checkpoint.load_model` reads: the case has its weights; heads that it lacks get
             generated ones. Beside a model, `config` is the config that its weights lack.
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
        return chosen_case(_of_model(model, config, preset, texts, seed, size), seed, **asked)
    if config is not None:
        return chosen_case(_of_config(config, preset, seed, size), seed, **asked)
    options: dict[str, Any] = {"dialect": dialect, "edge": edge, **asked}
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
    the number of its step, fields of the dialect. Other heads than pre-training's have no step.

    Raises `InputError` for values that there aren't."""
    check_optimizer(optimizer, step)
    chosen = {"optimizer": optimizer, "step": step, "numerics": dict(numerics)}
    changed = replace(
        case, numerics=replace(case.numerics, **numerics),
        origin={**case.origin, **{name: value for name, value in chosen.items() if value}},
    )  # fmt: skip
    if optimizer == "none" or case.heads != PRETRAINING:
        return replace(changed, optimizer=None)
    made = optimizer_case(case.params, changed.numerics, seed, optimizer, step=step or STEP)
    return replace(changed, optimizer=made)


def _of_config(path: str | Path, preset: Numerics | None, seed: int, size: str) -> Case:
    config, numerics = read_config(path, dialect=preset)
    case = generate_for(config, numerics, seed, optimizer=False, **numbers(config, size))
    return replace(case, name=f"{Path(path).name}, seed {seed}")


def _of_model(
    path: str | Path, config: str | Path | None, preset: Numerics | None, texts: Sequence[str], seed: int, size: str
) -> Case:
    saved = load_model(path, config=config, dialect=preset)
    if "cls.predictions.decoder.weight" in saved.params:
        raise InputError(f"{path}: its decoder is not tied to the word embeddings; such models can't be verified")
    if texts and saved.tokenizer is None:
        raise InputError(f"{path}: has no vocabulary to read the texts with; leave out the texts")
    name, known = Path(path).name, parameter_shapes(saved.config)
    params = {key: value for key, value in saved.params.items() if key in known}
    rows = numbers(saved.config, size)
    case = generate_for(saved.config, saved.numerics, seed, params=params, optimizer=False, **rows)
    case = replace(case, name=f"{name}, seed {seed}")
    if texts:
        case = from_model(
            case.params, saved.config, saved.numerics, saved.tokenizer, texts, seed, optimizer=False, name=name
        )
    return case


def numbers(config: BertConfig, size: str) -> dict[str, Any]:
    """Rows, their length and their predictions, as the size has them."""
    if config.vocab_size < 8 or config.max_position_embeddings < 3:
        raise InputError("case: at least 8 words (vocab_size) and 3 positions (max_position_embeddings) are needed")
    return {"rows": SIZES[size]["B"], "length": SIZES[size]["S"], "predictions": SIZES[size]["P"]}
