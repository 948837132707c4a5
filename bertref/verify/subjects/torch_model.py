"""A BERT in Hugging Face's modules: where its parts are, what its parameters are called, whose weights it has."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...config import BertConfig, Numerics, config_to_dict, live_config_from_dict, live_config_notes
from ...errors import BackendUnavailable, InputError
from ...heads import parameter_shapes
from ...topology import places, rows
from ..records import Arrays

try:
    import torch
except ImportError:
    raise BackendUnavailable("torch is not installed; pip install 'bertref[torch]'") from None

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


def huggingface_config(config: BertConfig, numerics: Numerics, attention: str = "eager") -> Any:
    """The `transformers.BertConfig` of an architecture and a dialect."""
    values = config_to_dict(config, numerics)
    for key in ("bertref_numerics", "architectures", "model_type"):
        del values[key]
    return transformers().BertConfig(**values, attn_implementation=attention)


def stock(config: BertConfig, numerics: Numerics, attention: str = "eager") -> Any:
    """A `BertForPreTraining` in eval mode; its weights are the library's own, to be replaced by a case's."""
    return transformers().BertForPreTraining(huggingface_config(config, numerics, attention)).eval()


def folder(path: str, attention: str | None = None) -> tuple[Any, frozenset[str]]:
    """The model of a Hugging Face folder, and the names of parameters that it does not hold: the library makes them
    newly. Raises `InputError` if there is no model."""
    options = {} if attention is None else {"attn_implementation": attention}
    try:
        model, loading = transformers().BertForPreTraining.from_pretrained(
            path, local_files_only=True, output_loading_info=True, **options
        )
        return model.eval(), frozenset(loading["missing_keys"])
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: transformers can't load a BERT from it: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Parts:
    """A model's encoder (`embeddings`, `encoder.layer`, `pooler`) and heads (`predictions`, `seq_relationship`).
    What it hasn't got is None. `prefix` is what its parameters' names lack of the canonical ones."""

    model: Any
    encoder: Any
    predictions: Any
    next_sentence: Any
    prefix: str

    @property
    def complete(self) -> bool:
        """Whether loss.total can be computed, which all gradients are of."""
        return None not in (self.encoder.pooler, self.predictions, self.next_sentence)


def parts(model: Any) -> Parts:
    """Finds them in a `BertForPreTraining`, `BertModel`, `BertForMaskedLM` or what derives from one.

    Raises `InputError` for a model of another build.
    """
    encoder = getattr(model, "bert", model)
    if not (hasattr(encoder, "embeddings") and hasattr(getattr(encoder, "encoder", None), "layer")):
        raise InputError(
            f"{type(model).__name__} has no BERT of Hugging Face's build inside (bert.embeddings, bert.encoder.layer); "
            "verify it as python:MODULE:FACTORY"
        )
    heads = getattr(model, "cls", None)
    return Parts(
        model,
        encoder,
        getattr(heads, "predictions", None),
        getattr(heads, "seq_relationship", None),
        "" if encoder is not model else "bert.",
    )


def architecture(model: Any) -> tuple[BertConfig, Numerics]:
    """From the model's own config. Raises `InputError` for an activation that this project doesn't know."""
    return live_config_from_dict(model.config.to_dict(), where=_config_of(model))


def config_notes(model: Any) -> tuple[str, ...]:
    """Notes on settings of the model's config that this project doesn't know, or knows and doesn't compute."""
    return live_config_notes(model.config.to_dict(), where=_config_of(model))


def _config_of(model: Any) -> str:
    return f"{type(model).__name__}.config"


def parameters(model: Any, config: BertConfig) -> dict[str, list[Any]]:
    """Canonical name -> the model's parameters of that name: two where it has untied what should be one."""
    found: dict[str, list[Any]] = {}
    prefix = parts(model).prefix
    known = parameter_shapes(config)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        decoder = name.removeprefix("cls.predictions.decoder.")
        canonical = DECODER.get(decoder, decoder) if decoder != name else prefix + name
        if canonical in known:
            owners = found.setdefault(canonical, [])
            if not any(parameter is owner for owner in owners):
                owners.append(parameter)
    return found


def made_from(config: BertConfig, parameters: Collection[str]) -> list[str]:
    """The tensors of the way forward that these parameters have a part in."""
    found: list[str] = []
    for row in rows(config):
        if set(found).intersection(row.inputs) or any(parameter.name in parameters for parameter in row.parameters):
            found.append(row.name)
    return found


@contextmanager
def with_weights(
    model: Any, config: BertConfig, params: Arrays, dtype: str | None = None
) -> Iterator[dict[str, list[Any]]]:
    """The model with a case's weights, in another type if `dtype` names one, and without gradients, in the body.

    Afterwards its parameters hold again the very arrays that they held before, and their gradients: nothing of the
    user's is copied or written. Raises `InputError` if the shapes differ.
    """
    owners = parameters(model, config)
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


def place_hooks(watch: TorchWatch, found: Parts, config: BertConfig) -> None:
    """Every probe that can be seen at a module, or inside one of attention, in a model of this depth."""
    dropout = found.encoder.embeddings.dropout
    for name, side, probe in places(rows(config)):
        # the module's output is the norm's unless dropout works in between; it is there even if the norm is not
        inner = probe == "embeddings.norm" and dropout.training and dropout.p
        module = _module(found, f"{name}.LayerNorm" if inner else name)
        if module is None:
            continue
        if side == "in":
            watch.inputs_of(module, probe)
        elif side == "inside":
            if probe.endswith(".scores"):  # the probabilities are seen with them
                watch.attention(module, probe.removesuffix("scores"))
        elif probe == "embeddings.position":
            watch.broadcast_output_of(module, probe)
        else:
            watch.output_of(module, probe)


def _module(found: Parts, name: str) -> Any:
    """The module of a name in `BertForPreTraining`; None for a part that the model hasn't got."""
    parts = {
        "bert.pooler": found.encoder.pooler,
        "bert": found.encoder,
        "cls.predictions": found.predictions,
        "cls.seq_relationship": found.next_sentence,
    }
    part = next(part for part in parts if f"{name}.".startswith(f"{part}."))
    module = parts[part]
    for step in filter(None, name.removeprefix(part).split(".")):
        if module is None:
            break
        module = dict(enumerate(module)).get(int(step)) if step.isdigit() else getattr(module, step)
    return module
