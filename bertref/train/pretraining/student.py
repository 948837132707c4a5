"""A shallow model begun from some layers of a deep one (`--init-layers`), and what teaches it (`--teacher`).

DistilBERT begins with every second layer of its teacher, whose embeddings and masked-word head it takes as they are. It
has no token types: the row of type 0, which stands at every token of a single text, is added to the table of positions,
so that with all layers it is the teacher itself.

Source: Sanh et al. 2019, section 3, "Student initialization".
"""

import re
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from ...checkpoint import SavedModel
from ...config import BertConfig
from ...errors import InputError
from ...heads import DECODER, parameter_shapes
from ...layers import Settings
from ...objectives import TaughtWordsObjective, Teacher
from ...opset import OpSet
from ...params import in_layer
from ...precision import cast
from ...text import Tokenizer
from .options import PretrainOptions, read_architecture

Params = dict[str, npt.NDArray[Any]]
POSITIONS, TYPES = (f"bert.embeddings.{name}_embeddings.weight" for name in ("position", "token_type"))
STUDENTS = {"bert": ("bert", "distilbert")}
"""Network -> those that are begun from its layers, where that is not itself alone."""
SAME = ("hidden_size", "num_attention_heads", "intermediate_size", "hidden_act")
"""Settings in which a student's layers are its origin's."""


def layers_of(text: str, depth: int) -> tuple[int, ...]:
    """Of "0,2,4" the numbers. Raises `InputError` for anything else, and for a layer that the model hasn't got."""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise InputError(f"--init-layers is {text!r}; give numbers of layers, counted from 0: 0,2,4")
    found = tuple(map(int, text.split(",")))
    if max(found) >= depth:
        raise InputError(f"--init-layers: there is no layer {max(found)}; the model of --init has 0 to {depth - 1}")
    return found


def begun_from(model: SavedModel, options: PretrainOptions) -> SavedModel:
    """The model that `--init` and `--init-layers` name, as the student begins.

    Raises `InputError` where `--config` names a network that has no use for the model's layers.
    """
    assert options.init_layers is not None
    layers = layers_of(options.init_layers, model.config.num_hidden_layers)
    config = _config(model, len(layers), options)
    params = _renumbered(model.params, layers)
    if TYPES in params and not config.type_vocab_size:
        params[POSITIONS] = params[POSITIONS] + params[TYPES][0]
        del params[TYPES]
    return replace(model, config=config, params=params, moments=None, step=None)


def _config(model: SavedModel, depth: int, options: PretrainOptions) -> BertConfig:
    """The student's: sizes of the model, and the network of --config, if that is given."""
    own = model.config
    if own.num_hidden_groups is not None:
        raise InputError(f"--init-layers: the layers of {model.path} share their parameters; leave it out")
    if options.config is None:
        return replace(own, num_hidden_layers=depth)
    wanted, _ = read_architecture(options)
    name = f"--config {options.config}"
    if wanted.model_type not in STUDENTS.get(own.model_type, (own.model_type,)):
        raise InputError(f"{name}: is a {wanted.variant.title}, which layers of a {own.variant.title} don't make")
    if wanted.num_hidden_layers != depth:
        raise InputError(f"{name}: has {wanted.num_hidden_layers} layers, but --init-layers names {depth}")
    for setting in SAME:
        said, there = getattr(wanted, setting), getattr(own, setting)
        if said != there:
            raise InputError(f"{name}: {setting} is {said}, in the model of --init {there}")
    epsilon = wanted.variant.fixed.get("layer_norm_eps", model.numerics.layer_norm_eps)
    if epsilon != model.numerics.layer_norm_eps:
        raise InputError(f"{name}: has the epsilon {epsilon}, the model of --init {model.numerics.layer_norm_eps}")
    types = wanted.variant.fixed.get("type_vocab_size", own.type_vocab_size)
    return replace(
        wanted, vocab_size=own.vocab_size, max_position_embeddings=own.max_position_embeddings,
        pad_token_id=own.pad_token_id, type_vocab_size=types,
    )  # fmt: skip


def _renumbered(params: Params, layers: tuple[int, ...]) -> Params:
    """The parameters with these layers alone, numbered from 0."""
    found: Params = {}
    for name, array in params.items():
        place = in_layer(name)
        if place is None:
            found[name] = array
            continue
        for new, old in enumerate(layers):
            if old == place[0]:
                found[f"bert.encoder.layer.{new}.{place[1]}"] = array
    return found


def taught(
    options: PretrainOptions, saved: SavedModel, config: BertConfig, tokenizer: Tokenizer, ops: OpSet
) -> TaughtWordsObjective:
    """Masked words, taught by `saved`, the model of --teacher.

    Raises `InputError` where that has no head for masked words or another vocabulary, or can't read the batches.
    """
    name = f"--teacher {options.teacher}"
    if "masked_lm" not in saved.heads:
        raise InputError(f"{name}: has no head for masked words")
    if saved.tokenizer.vocab.tokens != tokenizer.vocab.tokens or saved.config.vocab_size != config.vocab_size:
        raise InputError(f"{name}: its vocabulary is another, and a teacher reads the student's ids; give --vocab "
                         f"{options.teacher}")  # fmt: skip
    if saved.config.max_length < options.seq_len:
        raise InputError(f"{name}: reads at most {saved.config.max_length} tokens; --seq-len is {options.seq_len}")
    if 0 < saved.config.type_vocab_size < config.type_vocab_size:
        raise InputError(f"{name}: knows {saved.config.type_vocab_size} token types, the student more")
    shapes = parameter_shapes(saved.config, ("masked_lm",), tied=DECODER not in saved.params)
    params = {key: ops.xp.from_numpy(saved.params[key]) for key in shapes}
    master = "float64" if options.precision == "float64" else "float32"
    teacher = Teacher(cast(ops.xp, params, master), Settings(saved.config, saved.numerics))
    objective = TaughtWordsObjective(teacher, options.temperature, 1 - options.hard_weight, options.hidden_weight)
    objective.extra_parameters(config)
    return objective


def guessing(options: PretrainOptions, words: float) -> float:
    """The largest loss that guessing evenly may have: `words` of the labels, and T² times that of the teacher."""
    soft = 1 - options.hard_weight
    return words * (options.hard_weight + soft * options.temperature**2) + options.hidden_weight
