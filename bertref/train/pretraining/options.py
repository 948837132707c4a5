"""What a pre-training run is asked to do, and what of it must stay the same when it is resumed."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, InputError
from ...optim import RULES
from ...plumbing.files import write_file
from ...precision import canonical

RUN_FILE = "run.json"
FORMAT_VERSION = 1

LEARNING_RATES = {"tiny": 3e-3, "mini": 1e-3, "small": 5e-4, "medium": 3e-4, "base": 1e-4, "large": 1e-4}
"""Peak learning rates by preset, for batches of 32: small models bear and need larger ones; others take 1e-4. They are
AdamW's; another optimiser takes its share of them (`Rule.rate`)."""

DROPOUT = {"tiny": 0.0, "mini": 0.0}
"""Dropout probabilities by preset: small models learn too little, not too much. Another config keeps its own."""


@dataclass(frozen=True)
class PretrainOptions:
    """All options of `bertref pretrain`; the command line's help explains each."""

    corpus: tuple[str, ...] = ()
    out: str = "bertref-model"
    config: str = "tiny"
    dialect: str = "huggingface"
    vocab: str | None = None
    vocab_size: int = 2048
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
    eval_on: str = "held-out"
    held_out: float = 0.05
    eval_corpus: str | None = None
    eval_every: int = 0
    eval_batches: int = 100
    log_every: int = 10
    save_every: int = 200
    keep: int = 3
    resume: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", canonical(self.precision))
        for name in ("steps", "batch_size", "vocab_size", "dupe_factor", "accumulate", "eval_batches", "log_every",
                     "save_every", "keep"):  # fmt: skip
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
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
    def predictions(self) -> int:
        """P: as given, or what `masked_lm_prob` makes of a full sequence, 20 of 128 as in the original."""
        return self.max_predictions or max(1, round(self.seq_len * self.masked_lm_prob) + 1)

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        usual = LEARNING_RATES.get(self.config, 1e-4)
        return usual * RULES[self.optimizer].rate if self.optimizer in RULES else usual

    @property
    def warmup(self) -> int:
        """Warm-up steps: a tenth of all unless given."""
        return self.warmup_steps if self.warmup_steps is not None else self.steps // 10


CHOICES: dict[str, tuple[str, ...]] = {
    "masking": ("dynamic", "static"),
    "layout": ("auto", "padded", "packed"),
    "eval_on": ("held-out", "train", "none"),
}

FREE = frozenset({"backend", "kernels", "recompute", "layout", "eval_every", "eval_batches", "log_every",
"save_every", "keep",
                  "resume", "out"})  # fmt: skip
"""Options that may differ when a run is resumed: they don't change what is learnt (beyond rounding)."""


@dataclass(frozen=True)
class Run:
    """The record of a run beside its checkpoints."""

    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, options: PretrainOptions) -> "Run":
        values = {name: value for name, value in asdict(options).items() if name not in FREE}
        values["corpus"] = list(options.corpus)
        return cls(values)

    def write(self, folder: Path) -> None:
        """Writes `run.json`."""
        content = {"format": "bertref-run", "version": FORMAT_VERSION, "options": self.options}
        write_file(folder / RUN_FILE, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Run | None":
        """The record in a folder, None if there is none. Raises `CheckpointError` if it is damaged."""
        path = folder / RUN_FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version, options = content["version"], dict(content["options"])
            if "precision" in options:
                options["precision"] = canonical(options["precision"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: is damaged ({error}); start again with another --out") from None
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{path}: format version {version}; this bertref reads version {FORMAT_VERSION}")
        return cls(options)

    def must_equal(self, now: "Run", folder: Path) -> None:
        """Raises `InputError` naming the options with which the run in `folder` was started differently.

        An option that one of them lacks, because an earlier version didn't have it, counts as its default.
        """
        default = Run.of(PretrainOptions()).options
        was, is_ = ({**default, **run.options} for run in (self, now))
        different = sorted(name for name in was.keys() | is_.keys() if was.get(name) != is_.get(name))
        if different:
            pairs = ", ".join(
                f"--{n.replace('_', '-')} was {was.get(n)!r} and is {is_.get(n)!r}" for n in different
            )
            raise InputError(
                f"{folder}: can't be resumed with other options: {pairs}. Give the same ones, or another --out"
            )
