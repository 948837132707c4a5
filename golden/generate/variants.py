"""The goldens of RoBERTa, DistilBERT and ALBERT: every probe and every gradient of a small model.

They come from transformers' own classes (eager attention, float64) with the losses of pre-training; the network written
out in `variants_torch` must agree with them before its probes are stored beside. Weights are far from initial ones, and
numbers of float32, so that half of their bits are 0 and the files smaller. Rows are ragged, tokens repeat; RoBERTa's
and DistilBERT's have padding on either side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from . import common
from .model_torch import Arrays, Dialect, ModelResult, Network
from .models import confirmed, rounded, scale_of
from .variants_torch import Albert, Roberta, WordsAlone

Pairs = tuple[tuple[str, str], ...]
HEADS = 2
SIZES: dict[str, Any] = {"vocab_size": 15, "hidden_size": 8, "num_attention_heads": HEADS, "intermediate_size": 10,
         "max_position_embeddings": 9, "initializer_range": 0.02}  # fmt: skip
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
HEAD = "cls.predictions.transform."


@dataclass(frozen=True)
class NetworkGolden:
    """One network.

    config    bertref's settings beside `SIZES`
    network   how it is written out
    dialect   its numbers
    model     transformers' class with the losses of pre-training, and the arguments of its config
    names     beginnings of its parameters' names -> of BERT's; the first that fits counts
    left      whether a row is padded on the left
    """

    config: Mapping[str, Any]
    network: type[Network]
    dialect: Dialect
    model: Callable[[], Any]
    names: Pairs
    left: bool = True


def _built(name: str, kind: str, **settings: Any) -> Callable[[], Any]:
    def build() -> Any:
        config = getattr(transformers, f"{name}Config")(**settings, attn_implementation="eager")
        return getattr(transformers, name + kind)(config).double().eval()

    return build


_ROBERTA: dict[str, Any] = {"num_hidden_layers": 1, "pad_token_id": 1, "type_vocab_size": 1}
_ALBERT: dict[str, Any] = {"num_hidden_layers": 2, "embedding_size": 5, "num_hidden_groups": 1, "type_vocab_size": 2}
_DISTILBERT: dict[str, Any] = {
    "vocab_size": 15, "dim": 8, "n_layers": 1, "n_heads": HEADS, "hidden_dim": 10, "max_position_embeddings": 9,
    "dropout": 0.0, "attention_dropout": 0.0,
}  # fmt: skip
_LAYER, _GROUP = "bert.encoder.layer.", "albert.encoder.albert_layer_groups.0.albert_layers.0."
GOLDENS = {
    "roberta": NetworkGolden(
        _ROBERTA, Roberta, Dialect(1, HEADS, eps=1e-5),
        _built("Roberta", "ForMaskedLM", **SIZES, **NO_DROPOUT, **_ROBERTA, layer_norm_eps=1e-5),
        (("lm_head.dense", HEAD + "dense"), ("lm_head.layer_norm", HEAD + "LayerNorm"), ("lm_head", "cls.predictions"),
         ("roberta.", "bert.")),
    ),
    "distilbert": NetworkGolden(
        {"num_hidden_layers": 1, "type_vocab_size": 0}, WordsAlone, Dialect(1, HEADS),
        _built("DistilBert", "ForMaskedLM", **_DISTILBERT),
        (
            *((f"distilbert.transformer.layer.0.{theirs}", f"{_LAYER}0.{ours}") for theirs, ours in (
                ("attention.q_lin", "attention.self.query"), ("attention.k_lin", "attention.self.key"),
                ("attention.v_lin", "attention.self.value"), ("attention.out_lin", "attention.output.dense"),
                ("sa_layer_norm", "attention.output.LayerNorm"), ("ffn.lin1", "intermediate.dense"),
                ("ffn.lin2", "output.dense"), ("output_layer_norm", "output.LayerNorm"),
            )),
            ("vocab_transform", HEAD + "dense"), ("vocab_layer_norm", HEAD + "LayerNorm"),
            ("vocab_projector", "cls.predictions"), ("distilbert.", "bert."),
        ),
    ),
    "albert": NetworkGolden(
        _ALBERT, Albert, Dialect(2, HEADS, "gelu_tanh"),
        _built("Albert", "ForPreTraining", **SIZES, **NO_DROPOUT, **_ALBERT, classifier_dropout_prob=0.0,
               hidden_act="gelu_new"),
        (
            *((_GROUP + theirs, f"{_LAYER}0.{ours}") for theirs, ours in (
                ("attention.query", "attention.self.query"), ("attention.key", "attention.self.key"),
                ("attention.value", "attention.self.value"), ("attention.dense", "attention.output.dense"),
                ("attention.LayerNorm", "attention.output.LayerNorm"), ("full_layer_layer_norm", "output.LayerNorm"),
                ("ffn_output", "output.dense"), ("ffn", "intermediate.dense"),
            )),
            ("albert.encoder.embedding_hidden_mapping_in", "bert.embeddings.projection"),
            ("albert.pooler", "bert.pooler.dense"), ("albert.", "bert."),
            ("predictions.dense", HEAD + "dense"), ("predictions.LayerNorm", HEAD + "LayerNorm"),
            ("predictions.", "cls.predictions."), ("sop_classifier.classifier", "cls.seq_relationship"),
        ),
        left=False,
    ),
}  # fmt: skip


def own_name(name: str, pairs: Pairs) -> str:
    """BERT's name of a parameter of transformers' model."""
    for theirs, ours in pairs:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise KeyError(name)


def batch(random: np.random.Generator, padding: int, types: int, *, left: bool) -> Arrays:
    """Rows of 6, 5, 3 and 4 tokens, the last of which stand at the right end if `left`, with 3, 1, 0 and 2
    predictions."""
    lengths, S, P = (6, 5, 3, 4), 6, 3
    starts = (0, 0, 0, S - lengths[-1] if left else 0)
    columns = np.arange(S)
    first, length = np.array(starts)[:, None], np.array(lengths)[:, None]
    mask = (columns >= first) & (columns < first + length)
    arrays = {
        "input_ids": np.where(mask, random.integers(4, 12, (len(lengths), S)), padding),
        "attention_mask": mask.astype(np.int64),
        "token_type_ids": ((columns >= first + length // 2) & mask & (types > 1)).astype(np.int64),
        "masked_lm_positions": np.zeros((len(lengths), P), np.int64),
        "masked_lm_ids": np.zeros((len(lengths), P), np.int64),
        "masked_lm_weights": np.zeros((len(lengths), P)),
        "next_sentence_label": np.arange(len(lengths)) % 2,
    }
    for b, count in enumerate((3, 1, 0, 2)):
        places = starts[b] + random.choice(lengths[b], count, replace=False)
        arrays["masked_lm_positions"][b, :count] = np.sort(places)
        arrays["masked_lm_ids"][b, :count] = random.integers(0, int(SIZES["vocab_size"]), count)
        arrays["masked_lm_weights"][b, :count] = 1.0
    return arrays


def confirmed_by_transformers(golden: NetworkGolden, model: Any, b: Arrays, written_out: ModelResult) -> ModelResult:
    """`written_out` with loss, hidden states and parameter gradients replaced by transformers' own."""
    labels = np.full(b["input_ids"].shape, -100)
    rows, slots = np.nonzero(b["masked_lm_weights"])
    labels[rows, b["masked_lm_positions"][rows, slots]] = b["masked_lm_ids"][rows, slots]
    given = {"input_ids": b["input_ids"], "attention_mask": b["attention_mask"], "labels": labels}
    if golden.network is Albert:
        given |= {"token_type_ids": b["token_type_ids"], "sentence_order_label": b["next_sentence_label"]}
    out = model(**{name: torch.tensor(a) for name, a in given.items()}, output_hidden_states=True)
    out.loss.backward()
    first = "embeddings.projection" if golden.network is Albert else "embeddings.norm"
    own = {"loss.total": out.loss, first: out.hidden_states[0]}
    own |= {f"layer.{i}.output": hidden for i, hidden in enumerate(out.hidden_states[1:])}
    grads = {f"grad:{own_name(name, golden.names)}": p.grad.numpy() for name, p in model.named_parameters()}
    return confirmed(written_out, own, grads)


def arrays_of(variant: str) -> Arrays:
    """Everything in the file: `parameter/`, `batch/`, `probe/`, `grad:`."""
    golden, model = GOLDENS[variant], GOLDENS[variant].model()
    random = np.random.Generator(np.random.PCG64([len(GOLDENS), list(GOLDENS).index(variant)]))
    params: Arrays = {}
    for name, p in model.named_parameters():
        gain = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        params[own_name(name, golden.names)] = rounded(random.normal(gain, 0.3, tuple(p.shape)))
        p.data = torch.tensor(params[own_name(name, golden.names)])
    config = {**golden.config}
    b = batch(random, config.get("pad_token_id", 0), config["type_vocab_size"], left=golden.left)
    result = confirmed_by_transformers(golden, model, b, golden.network(params, golden.dialect).run(b))
    arrays = {f"parameter/{name}": p for name, p in params.items()} | {f"batch/{name}": a for name, a in b.items()}
    return arrays | {f"probe/{name}": a for name, a in result.values.items()} | result.grads


def details_of(variant: str, arrays: Arrays) -> dict[str, Any]:
    """What a reader must know beside the arrays."""
    golden = GOLDENS[variant]
    return {
        "config": {**SIZES, **NO_DROPOUT, "hidden_act": "gelu", "model_type": variant, **golden.config},
        "dialect": {"activation": golden.dialect.activation, "mask_value": golden.dialect.mask_value,
                    "layer_norm_eps": golden.dialect.eps, "mlm_denominator_epsilon": 0.0},
        "next_sentence": golden.network is Albert,
        "gauge": {n: scale_of(n) for n in arrays if n.startswith("grad:bert") and n.endswith("key.bias")},
    }  # fmt: skip


REASON = (
    "rounding carried through one layer or two and back: another order of summation (NumPy or torch, padded or packed) "
    "moves the results by up to 1e-14; room for 100"
)


def generate(variant: str) -> None:
    """Writes `model/<variant>`."""
    torch.set_num_threads(1)
    arrays = arrays_of(variant)
    built = type(GOLDENS[variant].model()).__name__
    common.write(
        f"model/{variant}",
        common.to_bytes(arrays, details_of(variant, arrays)),
        oracle=f"transformers' {built} in float64, eager attention, and torch's autograd; probes from the network "
        "written out in torch, which agrees to 1e-12",
        libraries=("torch", "transformers", "numpy"),
        tolerances={"float64": (1e-12, REASON)},
    )
