"""What a BERT is (`BertConfig`) and which arithmetic it does (`Numerics`); Hugging Face's `config.json` in and out.

The architecture of the paper's section 3 is one thing; the dialect, every numeric choice on which Google's code and
Hugging Face's differ, is another. Nothing numeric is implicit: see `Numerics`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from .config_keys import class_name, other_keys, setting_keys, variant_of
from .errors import InputError
from .presets import PRESETS, preset_settings
from .variants import OWN, VARIANTS, Variant

ACTIVATIONS = ("gelu", "relu", "tanh")


def _require(holds: bool, name: str, value: Any, expected: str) -> None:
    if not holds:
        raise InputError(f"config: {name} is {value!r}; it must be {expected}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


SIZES = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings",
         "type_vocab_size", "embedding_size", "num_hidden_groups", "inner_group_num")  # fmt: skip
RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "qa_dropout")
"""Settings that are probabilities of dropout."""
OPTIONAL = ("classifier_dropout", "qa_dropout", "embedding_size", "num_hidden_groups")
"""Settings that may be None."""


@dataclass(frozen=True)
class BertConfig:
    """The architecture; names and defaults are those of Hugging Face's `BertConfig` (defaults: BERT-Base, uncased).

    `classifier_dropout` is the rate in front of a classifier, None: `hidden_dropout_prob`. Of other variants:

    model_type         which network it is, one of `variants.VARIANTS`
    embedding_size     E, the width of the tables, from which a projection leads to H; None: they have the width H
    num_hidden_groups  the layers share the parameters of so many groups of layers; None: each has its own
    inner_group_num    layers of a group; `num_hidden_layers` counts every layer that is applied, and so is a multiple
    qa_dropout         the rate in front of the answers' vectors, None: `hidden_dropout_prob`

    Raises `InputError` where the sizes contradict each other.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    pad_token_id: int = 0
    classifier_dropout: float | None = None
    model_type: str = "bert"
    embedding_size: int | None = None
    num_hidden_groups: int | None = None
    inner_group_num: int = 1
    qa_dropout: float | None = None

    def __post_init__(self) -> None:
        _require(self.model_type in VARIANTS, "model_type", self.model_type, "one of " + ", ".join(VARIANTS))
        for name in SIZES:
            value = getattr(self, name)
            optional = value is None and name in OPTIONAL
            if not optional and (name, value) not in self.variant.fixed.items():
                _require(_is_int(value) and value > 0, name, value, "a positive integer")
        _require(_is_int(self.num_hidden_layers) and self.num_hidden_layers >= 0, "num_hidden_layers",
                 self.num_hidden_layers, "a non-negative integer")  # fmt: skip
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"config: hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}; every head needs the same width"
            )
        _require(self.hidden_act in ACTIVATIONS, "hidden_act", self.hidden_act, "one of " + ", ".join(ACTIVATIONS))
        for name in RATES:
            p = getattr(self, name)  # decided by 16 random bits: nearer to 1 than that nothing would be kept
            if p is None and name in OPTIONAL:
                continue
            _require(_is_number(p) and 0 <= p < 1 - 2**-17, name, p, "in [0, 1), and not within 2**-17 of 1")
        _require(_is_number(self.initializer_range) and 0 < self.initializer_range < math.inf, "initializer_range",
                 self.initializer_range, "a positive number")  # fmt: skip
        _require(_is_int(self.pad_token_id) and 0 <= self.pad_token_id < self.vocab_size, "pad_token_id",
                 self.pad_token_id, f"an id below vocab_size {self.vocab_size}")  # fmt: skip
        _require(self.num_hidden_layers % self.inner_group_num == 0, "num_hidden_layers", self.num_hidden_layers,
                 f"a multiple of inner_group_num {self.inner_group_num}")  # fmt: skip
        _require(self.max_length > 0, "max_position_embeddings", self.max_position_embeddings,
                 f"more than pad_token_id {self.pad_token_id} and 1: positions are counted from there")  # fmt: skip

    @property
    def variant(self) -> Variant:
        """The network's record of settings."""
        return VARIANTS[self.model_type]

    @property
    def first_position(self) -> int:
        """The position of a sequence's first token."""
        return self.pad_token_id + 1 if self.variant.counts_tokens else 0

    @property
    def max_length(self) -> int:
        """The most tokens that a sequence may have: as many as there are positions for them."""
        return self.max_position_embeddings - self.first_position

    @property
    def drops(self) -> bool:
        """Whether anything is dropped in training."""
        return any(getattr(self, name) for name in RATES)

    @property
    def groups(self) -> int:
        """How many groups of layers have parameters of their own; by default each of the groups that are applied."""
        return self.num_hidden_groups or self.num_hidden_layers // self.inner_group_num

    @property
    def stored_layers(self) -> int:
        """How many layers have parameters of their own."""
        return self.groups * self.inner_group_num

    def stored_layer(self, i: int) -> int:
        """The layer whose parameters layer `i` uses: its own, or that of its group.

        Group g of G serves the layers from g N/G on, of N applications of a group.
        """
        inner = self.inner_group_num
        group = int(i // inner / (self.num_hidden_layers // inner / self.groups))  # rounded as Hugging Face does
        return group * inner + i % inner

    @property
    def head_size(self) -> int:
        """D, the width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "BertConfig":
        """A published size, one of `PRESETS`: `tiny`, `base`, `roberta-base`, `albert-xxlarge`, ..."""
        if name not in PRESETS:
            raise InputError(f"config: no preset {name!r}; there are {', '.join(PRESETS)}")
        return cls(**preset_settings(name) | changes)


@dataclass(frozen=True)
class Numerics:
    """The dialect: every choice on which implementations of BERT disagree.

    gelu                      "erf" or "tanh": what the activation called `gelu` means
    mask_value                what is added to the scores of padded keys; -inf removes them exactly, and a row without
                              any key then gets probabilities 0
    scale_scores              1/sqrt(D) multiplies the scores ("after") or the query ("query")
    layer_norm_eps            added to the variance
    mlm_denominator_epsilon   added to the sum of the prediction weights that divides the MLM loss
    optimizer                 "google" (AdamWeightDecay, without bias correction), "adamw" or "lamb"
    decay_exclusions          a parameter whose name contains one of these is not decayed
    clip_epsilon              added to the global norm before it divides
    schedule                  "google" (decay counted from step 0, warm-up replaces it) or "huggingface"
    span_padding              "excluded": an answer's start and end are sought among the tokens, so the loss does not
                              depend on padding; "counted": among padded positions, too, as Google's code and Hugging
                              Face's both do (padded layout only)
    initializer               "truncated_normal" (cut at two standard deviations) or "normal"
    """

    gelu: Literal["erf", "tanh"] = "erf"
    mask_value: float = -3.4028234663852886e38
    scale_scores: Literal["after", "query"] = "after"
    layer_norm_eps: float = 1e-12
    mlm_denominator_epsilon: float = 0.0
    optimizer: Literal["google", "adamw", "lamb"] = "adamw"
    decay_exclusions: tuple[str, ...] = ("LayerNorm", "layer_norm", "bias")
    clip_epsilon: float = 1e-6
    schedule: Literal["google", "huggingface"] = "huggingface"
    span_padding: Literal["excluded", "counted"] = "excluded"
    initializer: Literal["truncated_normal", "normal"] = "normal"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            _require(getattr(self, name) in allowed, name, getattr(self, name), "one of " + ", ".join(allowed))
        _require(
            _is_number(self.mask_value) and self.mask_value < 0, "mask_value", self.mask_value, "negative, or -inf"
        )
        for name in ("layer_norm_eps", "mlm_denominator_epsilon", "clip_epsilon"):
            value = getattr(self, name)
            _require(_is_number(value) and 0 <= value < math.inf, name, value, "a non-negative number")

    @classmethod
    def preset(cls, name: str) -> "Numerics":
        """`google` (google-research/bert at its last commit) or `huggingface` (transformers)."""
        if name not in DIALECTS:
            raise InputError(f"dialect: no preset {name!r}; there are {', '.join(DIALECTS)}")
        return DIALECTS[name]

    def activation(self, hidden_act: str) -> str:
        """The op that a config's `hidden_act` means in this dialect: gelu_erf, gelu_tanh, relu or tanh."""
        return f"gelu_{self.gelu}" if hidden_act == "gelu" else hidden_act


CHOICES: dict[str, tuple[str, ...]] = {
    "gelu": ("erf", "tanh"),
    "scale_scores": ("after", "query"),
    "optimizer": ("google", "adamw", "lamb"),
    "schedule": ("google", "huggingface"),
    "span_padding": ("excluded", "counted"),
    "initializer": ("truncated_normal", "normal"),
}

DIALECTS = {
    "huggingface": Numerics(),
    # modeling.py, optimization.py, run_pretraining.py of google-research/bert
    "google": Numerics(
        gelu="tanh",
        mask_value=-10000.0,
        mlm_denominator_epsilon=1e-5,
        optimizer="google",
        clip_epsilon=0.0,
        schedule="google",
        initializer="truncated_normal",
    ),
}

# ---------------------------------------------------------------------------------------------------------------------
# config.json

HIDDEN_ACTS = {"gelu": ("gelu", "erf"), "gelu_new": ("gelu", "tanh"), "gelu_pytorch_tanh": ("gelu", "tanh"),
               "relu": ("relu", None), "tanh": ("tanh", None)}  # fmt: skip
"""Hugging Face's names -> (hidden_act, what `gelu` means)."""

_SHARED = tuple(f.name for f in fields(BertConfig) if f.name not in OWN)
"""The settings that every variant has."""


def _architecture(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that are read; `config_keys` knows the others."""
    return (*setting_keys(variant_of(values), _SHARED).values(), "bertref_numerics", "bertref_windows")


def config_from_dict(
    values: dict[str, Any], *, dialect: Numerics | None = None, where: str = "config"
) -> tuple[BertConfig, Numerics]:
    """Architecture and dialect from the keys of a `config.json` (Hugging Face's or Google's `bert_config.json`).

    `dialect` overrides what the file says; without either, Hugging Face's. Raises `InputError` for a key that is not
    known and for a setting that is known and not supported: what isn't understood is refused, not dropped.
    """
    other_keys(values, _architecture(values)).require(where)
    return _config_from_dict(values, dialect, where)


def live_config_from_dict(values: dict[str, Any], *, where: str = "config") -> tuple[BertConfig, Numerics]:
    """As `config_from_dict`, for a model that is run itself and compared: settings that aren't known or supported are
    passed over (`live_config_notes` names them). Raises `InputError` for an architecture that makes no sense."""
    return _config_from_dict(values, None, where)


def live_config_notes(values: dict[str, Any], *, where: str = "config") -> tuple[str, ...]:
    """`config_notes`, and a line on what `config_from_dict` refuses."""
    found = other_keys(values, _architecture(values))
    return *found.notes(where), *found.doubts(where)


def config_notes(values: dict[str, Any], *, where: str = "config") -> tuple[str, ...]:
    """What to tell whoever uses a config: the keys that were passed over because they can't change any number."""
    return other_keys(values, _architecture(values)).notes(where)


def _config_from_dict(values: dict[str, Any], dialect: Numerics | None, where: str) -> tuple[BertConfig, Numerics]:
    variant = variant_of(values)
    given = {name: values[key] for name, key in setting_keys(variant, _SHARED).items() if key in values}
    given = {**variant.defaults, **given, **variant.fixed, "model_type": variant.model_type}
    recorded = values.get("bertref_numerics")
    numerics = numerics_from_dict(recorded, where=where) if recorded is not None else Numerics.preset("huggingface")
    given["hidden_act"], gelu = _activation(given.get("hidden_act", "gelu"), variant, where)
    changes: dict[str, Any] = {"layer_norm_eps": given.pop("layer_norm_eps", None), "gelu": gelu}
    numerics = replace(numerics, **{name: value for name, value in changes.items() if value is not None})
    if given.get("pad_token_id", 0) is None:  # transformers' "no padding row": padding is masked all the same
        del given["pad_token_id"]
    if _is_int(given.get("num_hidden_layers")) and _is_int(given.get("inner_group_num", 1)):
        given["num_hidden_layers"] *= given.get("inner_group_num", 1)  # it counts groups in config.json
    try:
        config = BertConfig(**given)
    except InputError as error:
        raise InputError(f"{where}: {str(error).removeprefix('config: ')}") from None
    return config, dialect or numerics


def _activation(name: Any, variant: Variant, where: str) -> tuple[str, str | None]:
    """`HIDDEN_ACTS` of a name. Raises `InputError` for one that this variant can't be computed with."""
    if not isinstance(name, str) or name not in HIDDEN_ACTS:
        raise InputError(f"{where}: hidden_act {name!r} is not supported; there are {', '.join(HIDDEN_ACTS)}")
    if variant.gelu_alone and name != "gelu":
        raise InputError(f"{where}: hidden_act {name!r} is not supported; {variant.title}'s masked-word head has gelu")
    return HIDDEN_ACTS[name]


def numerics_from_dict(values: dict[str, Any], *, where: str = "dialect") -> Numerics:
    """A dialect from its JSON form (-inf is written as the string "-inf")."""
    if not isinstance(values, dict):
        raise InputError(f"{where}: the numeric settings are {values!r}; a JSON object is expected")
    unknown = sorted(set(values) - {f.name for f in fields(Numerics)})
    if unknown:
        raise InputError(f"{where}: unknown numeric setting {', '.join(unknown)}")
    values = dict(values)
    if values.get("mask_value") == "-inf":
        values["mask_value"] = -math.inf
    names = values.get("decay_exclusions", [])
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: decay_exclusions is {names!r}; it must be a list of parts of names")
    if "decay_exclusions" in values:
        values["decay_exclusions"] = tuple(names)
    try:
        return Numerics(**values)
    except InputError as error:
        raise InputError(f"{where}: {str(error).removeprefix('config: ')}") from None


LATER = {"span_padding": "excluded"}
"""Settings that version 0.1.0 did not have, with what it did: left out where they say that, and so it opens models."""


def numerics_to_dict(numerics: Numerics) -> dict[str, Any]:
    """The JSON form of a dialect."""
    values = {name: value for name, value in asdict(numerics).items() if LATER.get(name) != value}
    values["decay_exclusions"] = list(numerics.decay_exclusions)
    if math.isinf(numerics.mask_value):
        values["mask_value"] = "-inf"
    return values


_UNSAID = {"model_type": "bert", "inner_group_num": 1}
"""Settings of other variants than BERT, with BERT's values."""


def architecture_to_dict(config: BertConfig) -> dict[str, Any]:
    """The JSON form of an architecture; a setting that is None is left out, and what only other variants have."""
    values = {name: value for name, value in asdict(config).items() if value is not None}
    return {name: value for name, value in values.items() if _UNSAID.get(name) != value}


def config_to_dict(
    config: BertConfig, numerics: Numerics, architecture: str = "BertForPreTraining", *, tied: bool = True
) -> dict[str, Any]:
    """The keys of a `config.json` that Hugging Face's loaders take as their own, and the dialect beside them.

    `architecture` is BERT's class for the model; the variant's own is written. `tied` says whether the decoder of the
    masked language model is the table of word embeddings.
    """
    variant, values = config.variant, asdict(config) | {"layer_norm_eps": numerics.layer_norm_eps}
    for name, value in variant.fixed.items():
        _require(values[name] == value, name, values[name], f"{value}, which every {variant.title} has")
    if config.hidden_act == "gelu":
        values["hidden_act"] = {"erf": "gelu", "tanh": "gelu_new"}[numerics.gelu]
    values["num_hidden_layers"] //= config.inner_group_num
    for name in variant.defaults.keys() & {"classifier_dropout", "qa_dropout"}:  # left out, it would mean the default
        values[name] = config.hidden_dropout_prob if values[name] is None else values[name]
    keys = setting_keys(variant, _SHARED)
    written = {key: values[name] for name, key in keys.items() if values[name] is not None}
    return {
        "architectures": [class_name(variant, architecture)],
        **written,
        "tie_word_embeddings": tied,
        "bertref_numerics": numerics_to_dict(numerics),
    }


def read_config(path: str | Path, *, dialect: Numerics | None = None) -> tuple[BertConfig, Numerics]:
    """Reads a `config.json`. Raises `InputError` if the file is missing, is not JSON, or says something unsupported."""
    path = Path(path)
    return config_from_dict(read_json(path), dialect=dialect, where=str(path))


def named_config(name: str, numerics: Numerics) -> tuple[BertConfig, Numerics]:
    """The architecture of a preset in the dialect `numerics`, with what its variant's publication says otherwise, or
    what a `config.json` says of both.

    Raises `InputError` if `name` is neither a preset nor a file.
    """
    if name in PRESETS:
        config = BertConfig.preset(name)
        return config, replace(numerics, **config.variant.numerics)
    if not Path(name).is_file():
        raise InputError(f"--config {name}: neither a preset ({', '.join(PRESETS)}) nor a file")
    return read_config(name)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a `config.json`. Raises `InputError` as `read_config` does."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a model's config.json is expected here") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: can't be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a JSON object is expected, not {type(values).__name__}")
    return values
