"""The model that a run goes on from (`--init`): what it decides, and the state that it gives.

Architecture, dialect and vocabulary are the model's; options that say something else are refused. What the objective
needs and the model lacks is newly made, at the address that it has in a new model; what it has no use for is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from ...arrays import Namespace
from ...checkpoint import SavedModel, latest, load_model
from ...checkpoint.load import describe
from ...checkpoint.sources import open_source
from ...config import BertConfig, Numerics
from ...errors import CheckpointError, InputError
from ...heads import DECODER, parameter_shapes
from ...opset import OpSet
from ...presets import PRESETS
from ...text import Tokenizer
from ..report import Report
from ..start import differences, starting_params
from ..step import State, TrainingRecipe, initial_state, laid_out
from .options import PretrainOptions, read_architecture
from .student import begun_from

SIZES = ("model_type", "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
"""What the name of a preset says of a config."""
DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob")

@dataclass(frozen=True)
class Origin:
    """The model that `name` (the value of `--init`) names.

    `model` holds its weights; None where the run has a checkpoint of its own, which then is the source of the rest.
    """

    name: str
    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer
    model: SavedModel | None


def open_origin(options: PretrainOptions, out: Path) -> Origin | None:
    """The model of `--init`, None without it.

    Raises what `load_model` does, and `InputError` if an option contradicts the model.
    """
    if options.init is None:
        return None
    checkpoint = latest(out) if options.resume and out.is_dir() else None
    if checkpoint is None:
        try:
            model = load_model(options.init, optimizer=options.init_optimizer)
        except CheckpointError as error:
            where = "--init-optimizer" if options.init_optimizer else "--init"
            raise CheckpointError(f"{where}: {error}") from None
        if options.init_layers is not None:
            model = begun_from(model, options)
        origin = Origin(options.init, model.config, model.numerics, model.tokenizer, model)
    else:
        described = describe(open_source(checkpoint), checkpoint)
        tokenizer = Tokenizer.from_pretrained(checkpoint)
        origin = Origin(options.init, described.config, described.numerics, tokenizer, None)
    _require_agreement(options, origin)
    return origin


def _require_agreement(options: PretrainOptions, origin: Origin) -> None:
    def refuse(option: str, why: str) -> InputError:
        return InputError(f"{option} contradicts --init {origin.name}: {why}; leave {option.split()[0]} out")

    if options.config is not None:
        config, numerics = read_architecture(options)
        names: Iterable[str] = SIZES
        if options.config not in PRESETS:
            names = [f.name for f in fields(BertConfig) if options.dropout is None or f.name not in DROPOUT]
        for name in names:
            there, said = getattr(origin.config, name), getattr(config, name)
            if there != said:
                raise refuse(f"--config {options.config}", f"{name} is {there} there, not {said}")
        if options.config not in PRESETS and numerics != origin.numerics:
            raise refuse(f"--config {options.config}", "its dialect is another")
    if options.dialect is not None and Numerics.preset(options.dialect) != origin.numerics:
        different = [name for name, value in Numerics.preset(options.dialect).__dict__.items()
                     if value != getattr(origin.numerics, name)]  # fmt: skip
        raise refuse(f"--dialect {options.dialect}", f"{', '.join(different)} differ there")
    step = origin.model.step if origin.model and options.init_optimizer else None
    if step is not None and step > options.steps:
        raise InputError(
            f"--init-optimizer: the {step} steps that {origin.name} has made count; give more --steps than "
            f"{options.steps}"
        )
    if not options.lower_case and origin.tokenizer.lower_case:
        raise refuse("--cased", "its vocabulary is lower-cased")


def preset_name(origin: Origin) -> str:
    """The preset with the model's sizes, or the model's own name."""
    sizes = [getattr(origin.config, name) for name in SIZES]
    known = {name: [getattr(BertConfig.preset(name), size) for size in SIZES] for name in PRESETS}
    return next((name for name, its in known.items() if its == sizes), Path(origin.name).name)


def first_state(
    ops: OpSet, recipe: TrainingRecipe, model: SavedModel, options: PretrainOptions, report: Report
) -> State:
    """The state before the run's first step. With `--init-optimizer` it is that after the model's last one.

    Raises `InputError` if the optimiser's state is of another optimiser.
    """
    heads = recipe.objective.heads
    shapes = parameter_shapes(model.config, heads, tied=DECODER not in model.params)
    params = starting_params(model, shapes, options.seed)
    found = differences(model, shapes, recipe.precision.master, f"--objective {options.objective}")
    for text in (*model.coverage.notes, *(f"--init {model.path}: {text}" for text in found)):
        report("message", {"text": text})
    state = initial_state(ops, recipe, params)
    return laid_out(ops, recipe, _with_moments(ops.xp, state, model)) if options.init_optimizer else state


def _with_moments(xp: Namespace, state: State, model: SavedModel) -> State:
    """The state with the model's moments and step; those of newly made parameters start at 0."""
    given, step = model.moments or {}, model.step
    kept = {key for key in state.moments if key.rpartition("/")[0] in model.params}
    kinds, its = ({key.rpartition("/")[2] for key in keys} for keys in (state.moments, given))
    if step is None or kinds != its or not kept <= given.keys():
        raise InputError(f"--init-optimizer: {model.path} holds the state of another optimiser, or no step counter")
    moments = {
        key: xp.astype(xp.from_numpy(given[key]), zero.dtype) if key in kept else zero
        for key, zero in state.moments.items()
    }
    return State(state.params, moments, step, state.loss_scale)
