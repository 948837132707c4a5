"""Mistakes that `verify` met in other people's programs, injected: constants, conventions of other libraries, parts of
a model that don't belong together."""

import math
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F

from .loss import IGNORED, Tensor, each, objective
from .mistake import Function, Mistake, Model, Patch, set_activations
from .optimizer import FIRST, Tensors, adamw, global_norm

SECTION = "met in other programs"


def exact_head(model: Model) -> None:
    """GELU's exact form in the head, beside an encoder that has the tanh form."""
    model.cls.predictions.transform.transform_act_fn = Function(F.gelu)


def five_digits(model: Model) -> None:
    """The root of 2 with five digits behind the point."""
    set_activations(model, lambda x: 0.5 * x * (1 + torch.erf(x / 1.41421)))


def stored_as(dtype: torch.dtype, *, matrices: bool = False) -> Patch:
    """The weights, or the matrices alone, rounded to a type: those that the model has, and those that it is given
    later."""

    def patch(model: Model) -> None:
        forward = model.forward

        def rounded() -> None:
            with torch.no_grad():
                for p in model.parameters():
                    if p.ndim > 1 or not matrices:
                        p.copy_(p.to(dtype))

        @wraps(forward)
        def with_rounded(*args: Any, **given: Any) -> Any:
            if not torch.jit.is_tracing() and not torch.compiler.is_compiling():
                rounded()
            return forward(*args, **given)

        rounded()
        model.forward = with_rounded

    return patch


def more_below(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    return each(logits, labels).sum() / ((labels != IGNORED).sum().to(logits.dtype) + 1e-5)


def epsilon_hat(params: Tensors, case: Any, moments: Tensors) -> None:
    """The corrections multiply the rate, so that epsilon is added to the root of the uncorrected moment."""
    root = math.sqrt(1 - case.optimizer.beta2**case.step)
    adamw(params, case, moments, root=lambda v, eps: v.sqrt() + eps / root)


@torch.no_grad()
def lamb_on_everything(params: Tensors, case: Any, moments: Tensors) -> None:
    """LAMB with a trust ratio for every parameter, those that aren't decayed included."""
    settings = case.optimizer
    gradients = global_norm([p.grad for p in params.values()], case.clip_norm)
    for (name, p), g in zip(params.items(), gradients, strict=True):
        m = settings.beta1 * moments[f"{name}/m"] + (1 - settings.beta1) * g
        v = settings.beta2 * moments[f"{name}/v"] + (1 - settings.beta2) * g * g
        first, second = m / (1 - settings.beta1**case.step), v / (1 - settings.beta2**case.step)
        u = first / (second.sqrt() + settings.epsilon)
        if settings.decays(name):
            u = u + settings.weight_decay * p
        p.sub_(case.rate * p.norm() / u.norm() * u)


MISTAKES = [
    Mistake("head-gelu-exact-beside-tanh", SECTION, "keras-hub, MaskedLMHead", "mlm.act", exact_head,
            case={"dialect": "google"}),
    Mistake("gelu-root-of-2-with-five-digits", SECTION, "1/1.41421 for 1/sqrt(2)", "layer.0.ffn_act", five_digits),
    Mistake("loss-denominator-plus-1e-5", SECTION, "google-research/bert, run_pretraining.py", "loss.mlm",
            objective(more_below), dtypes=("float64",)),
    Mistake("epsilon-hat", SECTION, "TensorFlow's and Keras's Adam", FIRST, step=epsilon_hat),
    Mistake("trust-ratio-on-everything", SECTION, "LAMB as the paper's algorithm reads",
            "update:bert.embeddings.LayerNorm.weight", step=lamb_on_everything, case={"optimizer": "lamb"}),
    Mistake("weights-in-float16", SECTION, "OpenVINO's save_model", "embeddings.word", stored_as(torch.float16)),
    Mistake("weights-in-bfloat16", SECTION, "a checkpoint saved by mixed-precision training", "embeddings.word",
            stored_as(torch.bfloat16)),
    Mistake("matrices-in-float16", SECTION, "converters that leave vectors as they are", "embeddings.word",
            stored_as(torch.float16, matrices=True)),
    Mistake("matrices-in-bfloat16", SECTION, "converters that leave vectors as they are", "embeddings.word",
            stored_as(torch.bfloat16, matrices=True)),
]  # fmt: skip
