"""A BERT in Hugging Face's modules: where its parts are, what its parameters are called, whose weights it has."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...checkpoint.names import from_huggingface
from ...checkpoint.naming import Naming, naming_of_tensors
from ...config import BertConfig, Numerics, config_to_dict, live_config_from_dict, live_config_notes
from ...config_keys import berts_class, class_name, require_network
from ...errors import BackendUnavailable, InputError
from ...heads import DECODER as OWN_DECODER
from ...heads import architecture_of, architectures, labelled
from ...topology import places
from ..cases.targets import PROBLEMS, TASK_HEADS, objective_of
from ..graph.axes import rows_of
from ..records import PRETRAINING, Arrays, Case

try:
    import torch
except ImportError:
    raise BackendUnavailable("torch is not installed; pip install 'bertref[torch]'") from None

from . import torch_losses
from .torch_watch import TorchWatch

DECODER = {"weight": "bert.embeddings.word_embeddings.weight", "bias": "cls.predictions.bias"}


def transformers() -> Any:
    """The library. Raises `BackendUnavailable` where it isn't installed."""
    try:
        import transformers
    except ImportError:
        raise BackendUnavailable(
            "transformers is not installed; pip install transformers, or verify another subject"
        ) from None
    return transformers


def huggingface_config(config: BertConfig, numerics: Numerics, attention: str = "eager", **settings: Any) -> Any:
    """The library's config of an architecture and a dialect, with settings of its own."""
    values = config_to_dict(config, numerics) | settings
    for key in ("bertref_numerics", "architectures", "model_type"):
        del values[key]
    return _class(config, "BertConfig")(**values, attn_implementation=attention)


def _class(config: BertConfig, berts: str) -> Any:
    """The library's class for this variant of the network."""
    return getattr(transformers(), class_name(config.variant, berts))


def stock(config: BertConfig, numerics: Numerics, attention: str = "eager") -> Any:
    """A `BertForPreTraining` in eval mode; its weights are the library's own, to be replaced by a case's."""
    return transformers().BertForPreTraining(huggingface_config(config, numerics, attention)).eval()


def stock_for(case: Case, attention: str = "eager") -> Any:
    """The library's model with the case's heads, in eval mode; its weights are the library's own, to be replaced by the
    case's."""
    settings: dict[str, Any] = {} if case.tied else {"tie_word_embeddings": False}
    if labelled(case.heads):
        settings["num_labels"] = case.num_labels
    made = huggingface_config(case.config, case.numerics, attention, **settings)
    if not case.heads:
        encoder = _class(case.config, "BertModel")
        bare = {"add_pooling_layer": False} if case.config.variant.pooled_by == "tanh" else {}
        return encoder(made, **bare).eval()
    return _class(case.config, architecture_of(case.heads) or "BertForPreTraining")(made).eval()


def folder(path: str, attention: str | None = None) -> tuple[Any, frozenset[str]]:
    """The model of a Hugging Face folder, of the class that its config names, else a `BertForPreTraining`; and the
    names of parameters that it does not hold: the library makes them newly. Raises `InputError` if there is none, and
    for another network, which the library's BERT would open with weights of its own."""
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    library = transformers()
    try:
        config = library.AutoConfig.from_pretrained(path, local_files_only=True)
        require_network(config.to_dict(), f"{path}/config.json")
        named = config.architectures or [""]
        name = named[0] if berts_class(named[0]) in architectures() else "BertForPreTraining"
        model, loading = getattr(library, name).from_pretrained(
            path, local_files_only=True, output_loading_info=True, **options
        )
        found = parts(model)
        return model.eval(), frozenset(found.canonical(key) or key for key in loading["missing_keys"])
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: transformers can't load a BERT from it: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Parts:
    """A model's encoder, which has the embeddings, the layers and perhaps a pooler, and its heads `predictions` and
    `next_sentence`. What it hasn't got is None. `prefix` is what its parameters' names lack of those in `naming`."""

    model: Any
    encoder: Any
    predictions: Any
    next_sentence: Any
    prefix: str
    naming: Naming

    def canonical(self, name: str) -> str | None:
        """The canonical name of a parameter of the model; None for one that is no part of the network."""
        found = from_huggingface(self.prefix + name, self.naming)
        return found and found.name

    def module(self, name: str) -> Any:
        """The module whose output is that of BERT's module `name`; None for one that the model hasn't got."""
        return submodule(self.model, self.naming.module(name).removeprefix(self.prefix))


def parts(model: Any) -> Parts:
    """Finds them in a `BertForPreTraining`, `BertModel`, `BertForMaskedLM` or what derives from one, or in such a model
    of another variant.

    Raises `InputError` for a model of another build.
    """
    naming = naming_of_tensors(getattr(model, "config", None), [name for name, _ in model.named_parameters()])
    encoder = getattr(model, naming.base.removesuffix("."), model)
    if not hasattr(encoder, "embeddings") or submodule(encoder, naming.layers) is None:
        raise InputError(
            f"{type(model).__name__} has no BERT of Hugging Face's build inside (bert.embeddings, bert.encoder.layer); "
            "verify it as python:MODULE:FACTORY"
        )
    predictions, sentences = (
        submodule(model, naming.module(name)) for name in ("cls.predictions", "cls.seq_relationship")
    )
    return Parts(model, encoder, predictions, sentences, "" if encoder is not model else naming.base, naming)


def submodule(model: Any, path: str) -> Any:
    """The module, or whatever else stands at a path of names and numbers; None if nothing does."""
    for step in path.split("."):
        if model is None:
            break
        model = dict(enumerate(model)).get(int(step)) if step.isdigit() else getattr(model, step, None)
    return model


PRETRAINING_HEADS: dict[tuple[bool, bool], tuple[str, ...]] = {
    (True, True): PRETRAINING, (True, False): ("masked_lm",), (False, True): ("next_sentence",),
}  # fmt: skip
"""Whether a model has a head for words, and one for sentences -> its heads."""


def heads_of(model: Any) -> tuple[tuple[str, ...], str | None]:
    """The model's heads and its objective (`cases.targets.HEADS`): by Hugging Face's class that it derives from; else
    by the heads of pre-training that it has; else it is an encoder."""
    known, found = architectures(), parts(model)
    names = [berts_class(base.__name__) for base in type(model).__mro__]
    heads = next((known[name] for name in names if name in known), None)
    if heads is None or not {*heads} & {*TASK_HEADS}:
        has = (found.predictions is not None, found.next_sentence is not None)
        heads = ("pooler",) if getattr(found.encoder, "pooler", None) is not None else ()
        heads = PRETRAINING_HEADS.get(has, heads)
    own = next((o for o, problem in PROBLEMS.items() if problem == getattr(model.config, "problem_type", None)), None)
    if heads == ("sequence_classification",) and own:
        return heads, own
    return heads, objective_of(heads, num_labels(model))


def num_labels(model: Any) -> int:
    """The width of its classifier."""
    return int(getattr(model.config, "num_labels", 2))


def trains(model: Any, case: Case) -> bool:
    """Whether the model can go on to the case's loss: it has its head, or gradients are given for what is inside."""
    if case.objective in torch_losses.GIVEN:
        return "upstream.pooled" not in case.targets or getattr(parts(model).encoder, "pooler", None) is not None
    return case.objective is not None and case.objective != "sentence_embedding" and heads_of(model)[0] == case.heads


@contextmanager
def problem_type(model: Any, objective: str | None) -> Iterator[None]:
    """A sequence classifier that takes its labels as the objective says; Hugging Face keeps in the config what it
    guessed, so that is put back."""
    config = getattr(model, "config", None)
    if objective not in PROBLEMS or config is None:
        yield
        return
    before = getattr(config, "problem_type", None)
    config.problem_type = PROBLEMS[objective]
    try:
        yield
    finally:
        config.problem_type = before


def tied(model: Any) -> bool:
    """Whether its decoder compares with the word embeddings, or is meant to."""
    return parts(model).predictions is None or bool(getattr(model.config, "tie_word_embeddings", True))


def architecture(model: Any) -> tuple[BertConfig, Numerics]:
    """From the model's own config. Raises `InputError` for an activation that this project doesn't know."""
    return live_config_from_dict(model.config.to_dict(), where=_config_of(model))


def config_notes(model: Any) -> tuple[str, ...]:
    """Notes on settings of the model's config that this project doesn't know, or knows and doesn't compute."""
    return live_config_notes(model.config.to_dict(), where=_config_of(model))


def _config_of(model: Any) -> str:
    return f"{type(model).__name__}.config"


def parameters(model: Any, known: Collection[str]) -> dict[str, list[Any]]:
    """Canonical name, one of `known` -> the model's parameters of that name: two where it has untied what should be
    one. A decoder that is meant to have a table of its own has its own bias, too."""
    found: dict[str, list[Any]] = {}
    inside, own = parts(model), OWN_DECODER in known
    given = [(inside.canonical(n) or n, parameter) for n, parameter in model.named_parameters(remove_duplicate=False)]
    for name, parameter in given:
        decoder = name.removeprefix("cls.predictions.decoder.")
        canonical = DECODER.get(decoder, decoder) if decoder != name else name
        if own and decoder == "weight":
            canonical = OWN_DECODER
        if own and name == DECODER["bias"] and "cls.predictions.decoder.bias" in dict(given):
            continue
        if canonical in known:
            owners = found.setdefault(canonical, [])
            if not any(parameter is owner for owner in owners):
                owners.append(parameter)
    return found


def made_from(case: Case, parameters: Collection[str]) -> list[str]:
    """The tensors of the way forward that these parameters have a part in."""
    found: list[str] = []
    for row in rows_of(case):
        if set(found).intersection(row.inputs) or any(parameter.name in parameters for parameter in row.parameters):
            found.append(row.name)
    return found


@contextmanager
def with_weights(
    model: Any, params: Arrays, dtype: str | None = None
) -> Iterator[dict[str, list[Any]]]:
    """The model with a case's weights, in another type if `dtype` names one, and without gradients, in the body.

    Afterwards its parameters hold again the very arrays that they held before, and their gradients: nothing of the
    user's is copied or written. Raises `InputError` if the shapes differ.
    """
    owners = parameters(model, params)
    names = {id(tensor): name for name, tensors in owners.items() for tensor in tensors}
    kind = None if dtype is None else getattr(torch, dtype)
    held = [(p, p.data, p.grad, p.requires_grad) for p in model.parameters()]
    buffers = [(b, b.data) for b in model.buffers()]
    try:
        for parameter, data, _, _ in held:
            parameter.grad = None
            parameter.data = _weights_for(names.get(id(parameter)), data, params, kind or data.dtype)
        for buffer, data in buffers:
            buffer.data = data.to(kind or data.dtype, copy=True) if data.is_floating_point() else data.clone()
        yield owners
    finally:
        for parameter, data, gradient, requires_grad in held:
            parameter.grad = None
            parameter.data = data
            parameter.grad = gradient
            parameter.requires_grad_(requires_grad)
        for buffer, data in buffers:
            buffer.data = data


def _weights_for(name: str | None, own: Any, params: Arrays, kind: Any) -> Any:
    """A fresh tensor: the case's array of that name, or the model's own value where the case has none."""
    if name is None:
        return own.to(kind, copy=True)
    if tuple(own.shape) != params[name].shape:
        raise InputError(
            f"{name} is {tuple(own.shape)} in the model and {params[name].shape} in the case; "
            "make the case for the model's own configuration"
        )
    return torch.from_numpy(params[name]).to(own.device, kind, copy=True)


def place_hooks(watch: TorchWatch, found: Parts, case: Case) -> None:
    """Every probe that can be seen at a module, or inside one of attention, in a model of this depth."""
    dropout = found.encoder.embeddings.dropout
    probes: dict[tuple[str, str], list[str]] = {}  # of a module that several layers share, those of all its calls
    for name, side, probe in places(rows_of(case)):
        # the module's output is the norm's unless dropout works in between; it is there even if the norm is not
        inner = probe == "embeddings.norm" and dropout.training and dropout.p
        probes.setdefault((f"{name}.LayerNorm" if inner else name, side), []).append(probe)
    for (name, side), names in probes.items():
        module = found.module(name)
        if module is None:
            continue
        if side == "in":
            watch.inputs_of(module, names)
        elif side == "inside":  # the probabilities are seen with the scores
            watch.attention(module, [probe.removesuffix("scores") for probe in names if probe.endswith(".scores")])
        elif names == ["embeddings.position"]:
            watch.broadcast_output_of(module, names[0])
        else:
            watch.output_of(module, names)
