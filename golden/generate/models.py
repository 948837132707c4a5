"""The goldens of the whole model: every probe, every gradient, one step of two optimisers, and a short run.

`model/huggingface` comes from transformers' own `BertForPreTraining` (eager attention, float64); the model written out
in `model_torch` must agree with it before its probes are stored beside. `model/google` is that written-out model with
Google's choices: tanh form of GELU, mask value -10000, 1e-5 in the denominator of the masked language model's loss.

Weights are far from initial ones (gains around 1, biases around 0, all random); the batch is ragged, tokens repeat, and
rows have 4, 2, 1 and 0 predictions. The optimisers start from moments that aren't 0, as at step 7 of a run.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from . import common, model_torch
from .model_torch import Arrays, Dialect, ModelResult

CONFIG: dict[str, Any] = {
    "vocab_size": 41, "hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 44,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 16, "type_vocab_size": 2, "initializer_range": 0.02, "pad_token_id": 0,
}  # fmt: skip
DIALECTS = {
    "huggingface": Dialect(2, 3),
    "google": Dialect(2, 3, "gelu_tanh", -10000.0, 1e-12, 1e-5),
}
LENGTHS = (12, 7, 3, 9)
STEPS = 10
UPDATE: dict[str, Any] = {"step": 7, "rate": 0.05, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.01, "clip_norm": 1.0}
EPSILON = {"adamw": 1e-8, "google": 1e-6}
RUN = {"peak": 2e-3, "steps": 20, "warmup_steps": 3}


def parameters(random: np.random.Generator) -> Arrays:
    """All random, in the order, with the names and in the shapes of transformers' own model. They are numbers of
    float32, so that half of their bits are 0, and the package's files smaller."""
    shapes = {name: tuple(p.shape) for name, p in transformers_model(None).named_parameters()}
    return {
        name: rounded(random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.3, shape))
        for name, shape in shapes.items()
    }


def batch(random: np.random.Generator, lengths: tuple[int, ...] = LENGTHS) -> Arrays:
    """A ragged batch, as int64 ids and float64 weights."""
    B, S, P = len(lengths), 12, 4
    ends = np.asarray(lengths)[:, None]
    columns = np.arange(S)
    arrays = {
        "input_ids": random.integers(5, 25, (B, S)),
        "attention_mask": (columns < ends).astype(np.int64),
        "token_type_ids": ((columns >= ends // 2) & (columns < ends)).astype(np.int64),
        "masked_lm_positions": np.zeros((B, P), np.int64),
        "masked_lm_ids": np.zeros((B, P), np.int64),
        "masked_lm_weights": np.zeros((B, P)),
        "next_sentence_label": np.arange(B) % 2,
    }
    for b, length in enumerate(lengths):
        count = min((4, 2, 1, 0)[b % 4], length)
        arrays["masked_lm_positions"][b, :count] = np.sort(random.choice(length, count, replace=False))
        arrays["masked_lm_ids"][b, :count] = random.integers(0, CONFIG["vocab_size"], count)
        arrays["masked_lm_weights"][b, :count] = 1.0
    return arrays


def transformers_model(params: Arrays | None) -> Any:
    """Hugging Face's model in float64, with `params` if given."""
    config = transformers.BertConfig(**CONFIG, layer_norm_eps=1e-12)
    config._attn_implementation = "eager"
    model = transformers.BertForPreTraining(config).double().eval()
    if params is not None:
        for name, p in model.named_parameters():
            p.data = torch.tensor(params[name])
    return model


def transformers_loss(model: Any, b: Arrays) -> Any:
    """The outputs of Hugging Face's model, predictions given as labels."""
    labels = np.full(b["input_ids"].shape, -100)
    rows, slots = np.nonzero(b["masked_lm_weights"])
    labels[rows, b["masked_lm_positions"][rows, slots]] = b["masked_lm_ids"][rows, slots]
    names = ("input_ids", "attention_mask", "token_type_ids", "next_sentence_label")
    arguments = {name: torch.tensor(b[name]) for name in names}
    return model(**arguments, labels=torch.tensor(labels), output_hidden_states=True)


def must_agree(what: str, one: Any, other: Any, scale: Any = None) -> None:
    """Raises unless both arrays are equal to 1e-12 of the second one's norm (or of `scale`'s)."""
    distance = np.linalg.norm(np.asarray(one) - np.asarray(other))
    if not distance <= 1e-12 * np.linalg.norm(np.asarray(other if scale is None else scale)):
        raise ArithmeticError(f"{what}: two independent calculations differ by {distance}")


def confirmed_by_transformers(params: Arrays, b: Arrays, written_out: ModelResult) -> ModelResult:
    """`written_out` with loss, hidden states and parameter gradients replaced by transformers' own."""
    model = transformers_model(params)
    out = transformers_loss(model, b)
    out.loss.backward()
    own = {"loss.total": out.loss, "embeddings.norm": out.hidden_states[0], "nsp.logits": out.seq_relationship_logits}
    own |= {f"layer.{i}.output": hidden for i, hidden in enumerate(out.hidden_states[1:])}
    grads = {f"grad:{name}": p.grad.numpy() for name, p in model.named_parameters()}
    return confirmed(written_out, own, grads)


def confirmed(written_out: ModelResult, own: Mapping[str, torch.Tensor], grads: Arrays) -> ModelResult:
    """`written_out` with what a model of transformers' gave itself, with which it must agree."""
    values = {name: np.asarray(t.detach().numpy()) for name, t in own.items()}
    for name, value in values.items():
        must_agree(name, value, written_out.values[name])
    for name, grad in grads.items():
        must_agree(name, grad, written_out.grads[name], grads[scale_of(name)])
    return ModelResult({**written_out.values, **values}, {**written_out.grads, **grads})


def scale_of(name: str) -> str:
    """The key bias has no influence, and its gradient is rounding: it is measured on the query bias's scale."""
    return name.replace(".key.bias", ".query.bias")


# ---------------------------------------------------------------------------------------------------------------------
# optimisers


@dataclass
class Moments:
    """Parameters with their running moments; `step` updates are done."""

    params: Arrays
    m: Arrays
    v: Arrays
    step: int


def excluded(name: str) -> bool:
    return name.endswith("bias") or "LayerNorm" in name


def adamw(state: Moments, grads: Arrays, rate: float) -> Moments:
    """torch.nn.utils.clip_grad_norm_, then torch.optim.AdamW."""
    params = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in state.params.items()}
    groups = [
        {"params": [p for name, p in params.items() if excluded(name) == without], "weight_decay": decay}
        for without, decay in ((True, 0.0), (False, UPDATE["weight_decay"]))
    ]
    betas = (UPDATE["beta1"], UPDATE["beta2"])
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=betas, eps=EPSILON["adamw"])
    for name, p in params.items():
        p.grad = torch.tensor(grads[name])
        moments = {"exp_avg": torch.tensor(state.m[name]), "exp_avg_sq": torch.tensor(state.v[name])}
        optimizer.state[p] = {"step": torch.tensor(float(state.step)), **moments}
    torch.nn.utils.clip_grad_norm_(list(params.values()), UPDATE["clip_norm"])
    optimizer.step()
    own = {name: optimizer.state[p] for name, p in params.items()}
    return Moments(
        {name: p.detach().numpy() for name, p in params.items()},
        {name: s["exp_avg"].numpy() for name, s in own.items()},
        {name: s["exp_avg_sq"].numpy() for name, s in own.items()},
        state.step + 1,
    )


def google(state: Moments, grads: Arrays, rate: float) -> Moments:
    """tf.clip_by_global_norm, then AdamWeightDecayOptimizer of google-research/bert's `optimization.py`."""
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))
    factor = UPDATE["clip_norm"] * min(1.0 / norm, 1.0 / UPDATE["clip_norm"])
    new = Moments({}, {}, {}, state.step + 1)
    for name, p in state.params.items():
        g = grads[name] * factor
        new.m[name] = UPDATE["beta1"] * state.m[name] + (1.0 - UPDATE["beta1"]) * g
        new.v[name] = UPDATE["beta2"] * state.v[name] + (1.0 - UPDATE["beta2"]) * np.square(g)
        update = new.m[name] / (np.sqrt(new.v[name]) + EPSILON["google"])
        if not excluded(name):
            update += UPDATE["weight_decay"] * p
        new.params[name] = p - rate * update
    return new


OPTIMIZERS = {"huggingface": ("adamw", adamw), "google": ("google", google)}


def rounded(values: Any) -> "np.ndarray[Any, Any]":
    """To float32, in float64."""
    return np.asarray(values, np.float32).astype(np.float64)


def running(random: np.random.Generator, params: Arrays) -> Moments:
    """Moments as after six steps: m of the gradients' size after clipping, v its square; numbers of float32, too."""
    m = {name: rounded(0.01 * random.normal(size=p.shape)) for name, p in params.items()}
    v = {name: rounded(1e-4 * random.random(p.shape)) for name, p in params.items()}
    return Moments(params, m, v, UPDATE["step"] - 1)


def rate(dialect: str, done: int) -> float:
    """Hugging Face's linear schedule with warm-up; Google's, whose decay is counted from step 0."""
    peak, steps, warmup = RUN["peak"], RUN["steps"], RUN["warmup_steps"]
    if done < warmup:
        return peak * done / warmup
    return peak * ((steps - done) / (steps - warmup) if dialect == "huggingface" else 1.0 - done / steps)


def losses_of_a_run(dialect: str, params: Arrays, batches: list[Arrays]) -> "np.ndarray[Any, Any]":
    """The losses of ten steps from zero moments, a batch each, with the dialect's optimiser and schedule."""
    zeros = {name: np.zeros_like(p) for name, p in params.items()}
    state, losses = Moments(params, zeros, dict(zeros), 0), []
    update = OPTIMIZERS[dialect][1]
    for done, b in enumerate(batches):
        if dialect == "huggingface":
            model = transformers_model(state.params)
            out = transformers_loss(model, b)
            out.loss.backward()
            loss, grads = out.loss.item(), {name: p.grad.numpy() for name, p in model.named_parameters()}
        else:
            result = model_torch.run(state.params, b, DIALECTS[dialect])
            loss = float(result.values["loss.total"])
            grads = {name: result.grads[f"grad:{name}"] for name in params}
        losses.append(loss)
        state = update(state, grads, rate(dialect, done))
    return np.array(losses)


# ---------------------------------------------------------------------------------------------------------------------
# the file


def arrays_of(dialect: str) -> Arrays:
    """Everything in the file: `parameter/`, `batch/`, `probe/`, `grad:`, `moment/`, `adamw/`, `google/`, `run/`."""
    random = np.random.Generator(np.random.PCG64(list(DIALECTS).index(dialect)))
    params, b = parameters(random), batch(random)
    result = model_torch.run(params, b, DIALECTS[dialect])
    if dialect == "huggingface":
        result = confirmed_by_transformers(params, b, result)
    grads = {name: result.grads[f"grad:{name}"] for name in params}
    start = running(random, params)
    arrays = {f"parameter/{name}": p for name, p in params.items()}
    arrays |= {f"batch/{name}": a for name, a in b.items()}
    arrays |= {f"probe/{name}": a for name, a in result.values.items()} | result.grads
    arrays |= {f"moment/{name}/{k}": a for k in ("m", "v") for name, a in getattr(start, k).items()}
    for kind, update in OPTIMIZERS.values():
        new = update(start, grads, UPDATE["rate"])
        arrays |= {f"{kind}/update:{name}": p - params[name] for name, p in new.params.items()}
        arrays |= {f"{kind}/{name}/{k}": a for k in ("m", "v") for name, a in getattr(new, k).items()}
    batches = [batch(random, tuple(random.integers(3, 13, 4).tolist())) for _ in range(STEPS)]
    arrays |= {f"run/{name}": np.stack([one[name] for one in batches]) for name in b}
    arrays["run/losses"] = losses_of_a_run(dialect, params, batches)
    return arrays


def details_of(dialect: str, arrays: Arrays) -> dict[str, Any]:
    """What a reader must know beside the arrays."""
    choices = DIALECTS[dialect]
    norm = math.sqrt(sum(float(np.vdot(a, a)) for n, a in arrays.items() if f"parameter/{n[5:]}" in arrays))
    return {
        "config": CONFIG,
        "dialect": {
            "activation": choices.activation, "mask_value": choices.mask_value, "layer_norm_eps": choices.eps,
            "mlm_denominator_epsilon": choices.denominator_epsilon,
        },
        "update": {**UPDATE, "epsilon": EPSILON, "clip_epsilon": {"adamw": 1e-6, "google": 0.0}, "gradient_norm": norm,
                   "excluded_from_decay": [n[10:] for n in arrays if n.startswith("parameter/") and excluded(n)]},
        "run": {**RUN, "optimizer": OPTIMIZERS[dialect][0], "first_moments": 0.0},
        "gauge": {n: scale_of(n) for n in arrays if n.startswith("grad:bert") and n.endswith("key.bias")},
    }  # fmt: skip


REASON = (
    "rounding carried through two layers and back, and through ten updates that divide by the root of v: another "
    "order of summation (NumPy or torch, padded or packed) moves the results by up to 1e-14, measured; room for 100"
)
HOW = {
    "huggingface": "transformers' BertForPreTraining in float64, eager attention, and torch's autograd; probes from "
    "the model written out in torch, which agrees to 1e-12; AdamW is torch.optim's, Google's optimiser its formula in "
    "NumPy",
    "google": "the model written out in torch in float64, and torch's autograd; Google's optimiser its formula in "
    "NumPy, AdamW torch.optim's",
}


def generate(dialect: str) -> None:
    """Writes `model/<dialect>`."""
    torch.set_num_threads(1)
    arrays = arrays_of(dialect)
    details = details_of(dialect, arrays)
    if not details["update"]["gradient_norm"] > 2 * UPDATE["clip_norm"]:
        raise ArithmeticError("the gradients are too short to be clipped; choose other weights")
    common.write(
        f"model/{dialect}",
        common.to_bytes(arrays, details),
        oracle=HOW[dialect],
        libraries=("torch", "transformers", "numpy"),
        tolerances={"float64": (1e-12, REASON)},
    )
