"""What a pre-training run is asked to do, and what of it must stay the same when it is resumed."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...config import BertConfig, Numerics, named_config
from ...dropout import RNGS
from ...errors import InputError
from ...optim import RULES
from ...plumbing.fields import check_types
from ...precision import canonical
from ...presets import PRESETS
from ..run_folder import RunRecord

DEFAULT_CONFIG, DEFAULT_DIALECT = "tiny", "huggingface"

LEARNING_RATES = {"tiny": 3e-3, "mini": 1e-3, "small": 5e-4, "medium": 3e-4, "base": 1e-4, "large": 1e-4}
"""Peak learning rates by the size of the preset, for batches of 32: small models bear and need larger ones; others take
1e-4. They are AdamW's; another optimiser takes its share of them (`Rule.rate`)."""

DROPOUT = {"tiny": 0.0, "mini": 0.0}
"""Dropout probabilities by the size of the preset: small models learn too little, not too much. Another config keeps
its own."""

TEACHING = TEMPERATURE, HARD_WEIGHT, HIDDEN_WEIGHT = 2.0, 2 / 7, 1 / 7
"""DistilBERT's: 5 for the teacher's words, 2 for the labels, 1 for the vectors, over the sum of the first two."""


@dataclass(frozen=True)
class PretrainOptions:
    """All options of `bertref pretrain`; the command line's help explains each.

    Without `config` and `dialect` they are those of the model that `init` names, or `DEFAULT_CONFIG` and
    `DEFAULT_DIALECT`.
    """

    corpus: tuple[str, ...] = ()
    out: str = "bertref-model"
    config: str | None = None
    dialect: str | None = None
    vocab: str | None = None
    vocab_size: int = 2048
    vocab_kind: str | None = None
    lower_case: bool = True
    documents: str = "auto"
    sentences: str = "auto"
    steps: int = 500
    batch_size: int = 32
    seq_len: int = 64
    max_predictions: int | None = None
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    masking: str = "dynamic"
    dupe_factor: int = 10
    whole_word: bool = False
    optimizer: str | None = None
    learning_rate: float | None = None
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    schedule: str | None = None
    accumulate: int = 1
    dropout: float | None = None
    recompute: str = "none"
    layout: str = "auto"
    backend: str = "numpy"
    precision: str = "float32"
    kernels: bool = True
    seed: int = 12345
    rng: str = "reference"
    eval_on: str = "held-out"
    held_out: float = 0.05
    eval_corpus: str | None = None
    eval_every: int = 0
    eval_batches: int = 100
    log_every: int = 10
    save_every: int = 200
    keep: int = 3
    resume: bool = False
    objective: str = "mlm+nsp"
    init: str | None = None
    init_optimizer: bool = False
    shard_optimizer: bool = False
    init_layers: str | None = None
    teacher: str | None = None
    temperature: float = TEMPERATURE
    hard_weight: float = HARD_WEIGHT
    hidden_weight: float = HIDDEN_WEIGHT

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "precision", canonical(self.precision))
        if self.init_optimizer and self.init is None:
            raise InputError("--init-optimizer takes the state that lies beside the model of --init; add --init")
        if self.init_layers is not None and (self.init is None or self.init_optimizer):
            raise InputError("--init-layers names layers of the model of --init; add --init, without --init-optimizer")
        if self.teacher is None and (self.temperature, self.hard_weight, self.hidden_weight) != TEACHING:
            raise InputError("--temperature, --hard-weight and --hidden-weight are about a teacher; add --teacher")
        if self.teacher is not None and self.objective != "mlm":
            raise InputError("--teacher teaches masked words alone; add --objective mlm")
        for name in ("steps", "batch_size", "vocab_size", "dupe_factor", "accumulate", "eval_batches", "log_every",
                     "save_every", "keep"):  # fmt: skip
            if getattr(self, name) < 1 and not (name == "steps" and self.steps == 0 and self.init):
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "weight_decay", "clip_norm", "hidden_weight"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 0 or more, and finite")
        if self.accumulate > self.batch_size:
            raise InputError(
                f"a batch of {self.batch_size} can't be split into {self.accumulate} chunks; use --accumulate 1 to "
                f"{self.batch_size}"
            )
        if self.seq_len < 5:
            raise InputError(f"--seq-len is {self.seq_len}; a pair with [CLS] and two [SEP] needs at least 5")
        if not 0 < self.held_out < 1:
            raise InputError(f"--held-out is {self.held_out}; it must be a share between 0 and 1")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise InputError(f"--dropout is {self.dropout}; it must be in [0, 1)")
        if self.eval_corpus and self.eval_on != "held-out":
            raise InputError(
                f"--eval-corpus takes the place of held-out documents, but --eval-on is {self.eval_on}; leave one out"
            )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)!r}; one of {', '.join(allowed)}")

    @property
    def next_sentence(self) -> bool:
        """Whether sentence pairs are judged, or masked words alone are learnt."""
        return self.objective != "mlm"

    @property
    def pairs(self) -> bool | Literal["order"]:
        """The pairs of `PretrainingData`."""
        return "order" if self.objective == "mlm+sop" else self.next_sentence

    @property
    def size(self) -> str:
        """The name of the preset without that of its variant; another config as it is."""
        name = self.config or DEFAULT_CONFIG
        return name.rpartition("-")[2] if name in PRESETS else name

    @property
    def predictions(self) -> int:
        """P: as given, or what `masked_lm_prob` makes of a full sequence, 20 of 128 as in the original."""
        return self.max_predictions or max(1, round(self.seq_len * self.masked_lm_prob) + 1)

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        usual = LEARNING_RATES.get(self.size, 1e-4)
        return usual * RULES[self.optimizer].rate if self.optimizer in RULES else usual

    @property
    def warmup(self) -> int:
        """Warm-up steps: a tenth of all unless given."""
        return self.warmup_steps if self.warmup_steps is not None else self.steps // 10


CHOICES: dict[str, tuple[str, ...]] = {
    "objective": ("mlm+nsp", "mlm", "mlm+sop"),
    "masking": ("dynamic", "static"),
    "layout": ("auto", "padded", "packed"),
    "rng": RNGS,
    "eval_on": ("held-out", "train", "none"),
}

FREE = frozenset({"backend", "kernels", "recompute", "layout", "eval_every", "eval_batches", "log_every",
"save_every", "keep",
                  "resume", "out", "shard_optimizer"})  # fmt: skip
"""Options that may differ when a run is resumed: they don't change what is learnt (beyond rounding)."""


def read_architecture(options: PretrainOptions) -> tuple[BertConfig, Numerics]:
    """The config and the dialect that the options name. A config file says what dialect it is of."""
    return named_config(options.config or DEFAULT_CONFIG, Numerics.preset(options.dialect or DEFAULT_DIALECT))


def recorded(options: PretrainOptions) -> RunRecord:
    """What `run.json` says of a run with these options."""
    values = {name: value for name, value in asdict(options).items() if name not in FREE}
    values["corpus"] = list(options.corpus)
    if options.init is None:
        values |= {"config": options.config or DEFAULT_CONFIG, "dialect": options.dialect or DEFAULT_DIALECT}
    return RunRecord(values)


def default_options() -> dict[str, Any]:
    """What stands for options that a record lacks."""
    return recorded(PretrainOptions()).options
