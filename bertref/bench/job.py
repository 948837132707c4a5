"""What a race is about: the record that both sides are given, so that they do the same work."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from .lengths import MIXES

PEERS: dict[str, tuple[str, ...]] = {
    "pretrain": ("transformers", "torch", "reference"),
    "finetune": ("transformers", "reference"),
    "parallel": ("alone",),
    "encode": ("transformers", "onnxruntime", "torch", "reference"),
    "predict": ("transformers", "onnxruntime", "reference"),
    "ops": ("torch", "reference"),
    "tokenize": ("transformers", "reference"),
    "prepare": ("reference",),
}
"""Command -> who can do the same work. `reference` is bertref itself, plain: no kernels, the readable tokenizer;
`alone` is bertref in one process."""

COMMANDS = tuple(PEERS)

PRETRAINING = ("pretrain", "parallel")
"""Those whose work are steps of pre-training."""

TEXT_COMMANDS = ("tokenize", "prepare")
"""Those that read text and need no model."""

QUESTION_MIXES = ("squad", "squad-windows")
"""Mixes of question answering; `finetune` classifies texts of all others."""

CPU = "cpu"

HALVES = ("bfloat16", "float16", "mixed-bfloat16", "mixed-float16")


@dataclass(frozen=True)
class Job:
    """The work of one side. Both sides make the same batches of it, and read the same `folder`.

    command      one of `COMMANDS`
    side         "ours" or the peer's name
    folder       where the race keeps the model (`model`) and the text (`text`, `vocab.txt`) that both read
    ragged       None: every sequence has `seq_len` tokens; else the mix or file (see `lengths`) that theirs are of
    lengths      tokens of every sequence, in file order; `batch_size` at a time make a batch
    model        the folder of the classifier that a file's texts are given to, see `from_text`; else made of the seed
    dtype        what ours computes in: float32, float64, or a preset of `bertref.precision`
    peer_dtype   "float32", or "bfloat16": the peer runs under autocast
    threads      how many each side may use
    processes    among how many ours shares them, and the work; `shard_optimizer`: and the optimiser's state
    masked       masked positions of a full sequence; None: what `pretrain` takes by default
    corpus       text of `tokenize` and `prepare`; empty: the Python language reference
    """

    command: str
    side: str = "ours"
    folder: str = ""
    config: str = "base"
    batch_size: int = 32
    seq_len: int = 128
    ragged: str | None = None
    lengths: tuple[int, ...] = ()
    backend: str = "numpy"
    dtype: str = "float32"
    peer_dtype: str = "float32"
    kernels: bool = True
    threads: int = 1
    processes: int = 1
    shard_optimizer: bool = False
    dropout: float = 0.1
    recompute: str = "none"
    masked: int | None = None
    seed: int = 20181011
    corpus: tuple[str, ...] = ()
    vocab: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        _choice("command", self.command, COMMANDS)
        _choice("--peer", self.side, ("ours", *PEERS[self.command]), f"bench {self.command} ")
        for name in ("batch_size", "threads", "processes"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        if self.processes > 1 and self.command != "parallel":
            raise InputError(f"--processes goes with parallel, not with {self.command}")
        if self.shard_optimizer and self.command != "parallel":
            raise InputError(f"--shard-optimizer goes with parallel, not with {self.command}")
        if self.threads < self.processes or self.batch_size < self.processes:
            raise InputError(
                f"{self.processes} processes (--processes) need a thread (--threads {self.threads}) and an example "
                f"(--batch-size {self.batch_size}) each"
            )
        if self.seq_len < 5:
            raise InputError(f"--seq-len is {self.seq_len}; two segments with their marks need at least 5")
        least = 2 if self.from_text else 5
        if any(not least <= length <= self.seq_len for length in self.lengths):
            raise InputError(f"every sequence must have 5 to {self.seq_len} tokens (--seq-len)")
        _choice("--peer-dtype", self.peer_dtype, ("float32", "bfloat16"))
        if self.peer_dtype == "bfloat16" and self.side not in ("ours", "transformers", "torch"):
            raise InputError("--peer-dtype bfloat16 goes with --peer transformers and --peer torch")
        if self.side == "onnxruntime" and self.device != CPU:
            raise InputError(f"--peer onnxruntime computes on the CPU, not on the GPU of --backend {self.backend}")
        if self.from_text and self.model is None:
            raise InputError("predict on a file's texts needs a classifier: give its folder with --model DIR")
        if self.model is not None and not self.from_text:
            raise InputError("--model goes with predict and --ragged FILE; elsewhere the model is made of the seed")

    @property
    def device(self) -> str:
        """torch's name of the device of both sides, the one of `backend`: "cuda:1" for "cupy:1", "cuda:0" for
        "torch:cuda"; `CPU` for every backend that is on no GPU."""
        name, _, where = self.backend.partition(":")
        if name == "cupy":
            return f"cuda:{where or 0}"
        if name == "torch" and where.partition(":")[0] == "cuda":
            return where if ":" in where else "cuda:0"
        return CPU

    @property
    def from_text(self) -> bool:
        """Whether the work is to classify a file's lines, tokenising among it: `predict` with a file as `ragged`."""
        return self.command == "predict" and self.ragged is not None and self.ragged not in MIXES

    @property
    def work(self) -> str:
        """The command or, of `predict` on a file's texts, "classify"."""
        return "classify" if self.from_text else self.command

    @property
    def model_folder(self) -> Path:
        """The model that both sides read."""
        return Path(self.model) if self.model is not None else Path(self.folder) / "model"

    @property
    def task(self) -> str:
        """The kind of task that `finetune` learns, as the sequences suggest."""
        return "question-answering" if self.ragged in QUESTION_MIXES else "classification"

    @property
    def batches(self) -> list[tuple[int, ...]]:
        """The lengths of each batch, in file order."""
        return [self.lengths[i : i + self.batch_size] for i in range(0, len(self.lengths), self.batch_size)]

    def of(self, side: str) -> "Job":
        """The same work for the other side; `reference` is ours without kernels, `alone` ours in one process."""
        job = replace(self, side=side, kernels=self.kernels and side != "reference")
        return replace(job, processes=1, shard_optimizer=False) if side == "alone" else job

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, "lengths": tuple(values["lengths"]), "corpus": tuple(values["corpus"])})


def _choice(name: str, value: str, allowed: tuple[str, ...], where: str = "") -> None:
    if value not in allowed:
        raise InputError(f"{where}{name} {value}: there are {', '.join(a for a in allowed if a != 'ours')}")
