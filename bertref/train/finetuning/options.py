"""What a fine-tuning run is asked to do, and what of it must stay the same when it is resumed."""

from dataclasses import asdict, dataclass
from typing import Any

from ...data.tasks.catalogue import known_name
from ...dropout import RNGS
from ...errors import InputError
from ...plumbing.fields import check_types
from ...precision import canonical
from ...text.encoding import check_truncate
from ..run_folder import RunRecord


@dataclass(frozen=True)
class FinetuneOptions:
    """All options of `bertref finetune`; the command line's help explains each.

    `task` is a kind of task or the name of a data set, whose record says what is left out here (None).
    """

    task: str = "classification"
    data: str = ""
    model: str = ""
    out: str = "bertref-finetuned"
    dev: str | None = None
    test: str | None = None
    text: str | None = None
    pair: str | None = None
    label: str | None = None
    group: str | None = None
    by_group: bool = False
    labels: tuple[str, ...] = ()
    delimiter: str | None = None
    header: bool = True
    held_out: float | None = None
    max_length: int | None = None
    truncate: str = "head"
    windows: bool = False
    stride: int | None = None
    max_query_length: int = 64
    max_answer_length: int = 30
    null_threshold: float = 0.0
    max_examples: int | None = None
    max_dev_examples: int | None = None
    epochs: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    optimizer: str | None = None
    schedule: str | None = None
    dialect: str | None = None
    dropout: float | None = None
    classifier_dropout: float | None = None
    layer_decay: float = 1.0
    freeze: str | None = None
    label_smoothing: float = 0.0
    class_weights: str | None = None
    metric: str | None = None
    patience: int | None = None
    accumulate: int = 1
    recompute: str = "none"
    layout: str = "auto"
    backend: str = "numpy"
    precision: str = "float32"
    kernels: bool = True
    seed: int = 12345
    rng: str = "reference"
    eval_every: int = 0
    log_every: int = 10
    save_every: int = 500
    keep: int = 1
    resume: bool = False
    predict_on: tuple[str, ...] = ()
    teacher: str | None = None
    temperature: float = 2.0
    hard_weight: float = 0.5
    hidden: str | None = None
    hidden_weight: float = 1.0
    masked_words: str | None = None
    masked_words_every: int = 5
    answer_windows: bool = False
    calibrate: bool = False
    shard_optimizer: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "precision", canonical(self.precision))
        object.__setattr__(self, "task", known_name(self.task))
        check_truncate(self.truncate)
        if not self.model:
            raise InputError("--model names the model to fine-tune; give a folder or a file of weights")
        if not self.data:
            raise InputError("DATA names what to fine-tune on; give a file or a folder")
        if self.dev is not None and self.held_out is not None:
            raise InputError("--dev and --held-out both say what to evaluate on; leave one out")
        if self.windows and self.answer_windows:
            raise InputError("--windows reads every text through windows; leave --answer-windows out")
        if self.epochs is not None and self.steps is not None:
            raise InputError("--epochs and --steps both say how long the run is; leave one out")
        for name in COUNTS:
            self._require(name, lambda value: value >= 1, "at least 1")
        if self.batch_size is not None and self.accumulate > self.batch_size:
            raise InputError(
                f"a batch of {self.batch_size} can't be split into {self.accumulate} chunks; use --accumulate 1 to "
                f"{self.batch_size}"
            )
        for name in RATES:
            self._require(name, lambda value: 0 <= value < float("inf"), "0 or more, and finite")
        for name in ("dropout", "classifier_dropout", "warmup", "label_smoothing"):
            self._require(name, lambda value: 0 <= value < 1, "in [0, 1)")
        self._require("held_out", lambda value: 0 < value < 1, "a share between 0 and 1")
        self._require("epochs", lambda value: 0 < value < float("inf"), "above 0, and finite")
        self._require("eval_every", lambda value: value >= 0, "0 or more")
        self._require("masked_words_every", lambda value: value >= 2, "at least 2")
        self._require("layer_decay", lambda value: 0 < value <= 1, "in (0, 1]")
        self._require("temperature", lambda value: value > 0, "above 0")
        self._require("hard_weight", lambda value: 0 <= value <= 1, "in [0, 1]")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in (None, *allowed):
                raise InputError(f"--{_option(name)} is {getattr(self, name)!r}; one of {', '.join(allowed)}")

    def _require(self, name: str, holds: Any, what: str) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise InputError(f"--{_option(name)} is {value}; it must be {what}")


def _option(name: str) -> str:
    return name.replace("_", "-")


COUNTS = (
    "steps", "batch_size", "max_length", "max_examples", "max_dev_examples", "stride", "accumulate", "log_every",
    "save_every", "keep", "patience", "max_query_length", "max_answer_length",
)  # fmt: skip
"""Options that are 1 or more."""

RATES = ("learning_rate", "weight_decay", "clip_norm", "hidden_weight")
"""Options that are numbers from 0."""

CHOICES: dict[str, tuple[str, ...]] = {
    "layout": ("auto", "padded", "packed"),
    "rng": RNGS,
    "dialect": ("huggingface", "google"),
    "hidden": ("cosine", "mse"),
}

FREE = frozenset({
    "backend", "kernels", "recompute", "layout", "log_every", "save_every", "keep", "resume", "out", "predict_on",
    "shard_optimizer",
})  # fmt: skip
"""Options that may differ when a run is resumed: they don't change what is learnt (beyond rounding)."""


def recorded(options: FinetuneOptions) -> RunRecord:
    """What `run.json` says of a run with these options."""
    values = {name: value for name, value in asdict(options).items() if name not in FREE}
    values["labels"] = list(options.labels)
    return RunRecord(values)


def default_options() -> dict[str, Any]:
    """What stands for options that a record lacks."""
    return recorded(FinetuneOptions(model="-", data="-")).options
