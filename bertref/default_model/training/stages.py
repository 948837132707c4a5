"""The stages of the training: each is a command of bertref, run in a process of its own, that makes one thing.

A stage whose thing is there is not run again, and a command that was killed goes on where it was: so the whole can be
killed at any moment and started again. Everything random follows the recipe's seed.

Masked words and the teacher don't need each other, and run at once, each on half of the cores: two processes of one
thread learn 3,800 tokens/s of the student's, one process of two threads 2,500 (Intel Xeon, 2.5 GHz, two cores).
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from ...config import Numerics, config_to_dict
from ...errors import BertrefError
from ...plumbing.files import write_file
from ...plumbing.processor import usable_cores
from ...text import load_vocab
from .recipe import STUDENT, Recipe, WordsStage
from .reviews import write_data
from .rows import write_rows
from .sentences import SENTENCES


class StageFailed(BertrefError):
    """A command of a stage did not do its work."""


@dataclass(frozen=True)
class TrainingPlaces:
    """What is given (reviews, phrases, the teacher's model), and the folder where everything is made."""

    reviews: Path
    phrases: Path
    teacher: str
    out: Path

    def __truediv__(self, name: str) -> Path:
        return self.out / name


@dataclass(frozen=True)
class Stage:
    """`makes` is there when the stage is done; `run` makes it. `log` has the events of its training, if it trains.

    Neighbours of different chains don't need each other (`chains`).
    """

    name: str
    makes: Path
    run: Callable[[], None]
    log: Path | None = None
    chain: str | None = None

    @property
    def done(self) -> bool:
        return self.makes.exists()


def chains(todo: Iterable[Stage]) -> Iterator[list[list[Stage]]]:
    """The stages in their order; those that may run at once come together, each chain as a list."""
    for several, group in itertools.groupby(todo, lambda stage: stage.chain is not None):
        if several:
            yield [list(chain) for _, chain in itertools.groupby(group, lambda stage: stage.chain)]
        else:
            yield from ([[stage]] for stage in group)


def bertref(*arguments: object, output: Path | None = None) -> None:
    """One command of bertref; what it says goes to the end of the file `output`. Raises `StageFailed` if it fails."""
    command = [str(each) for each in arguments]
    with open(output, "ab") if output else nullcontext() as file:
        errors = subprocess.STDOUT if file else None
        done = subprocess.run([sys.executable, "-m", "bertref", *command], stdout=file, stderr=errors)
    if done.returncode:
        where = f"; see {output}" if output else ""
        raise StageFailed(f"`bertref {' '.join(command)}` ended with {done.returncode}{where}")


def stages(places: TrainingPlaces, recipe: Recipe) -> Iterator[Stage]:
    """All of them, in their order."""
    data = places / "data"
    yield Stage("data", data / "counts.json", lambda: _data(places, recipe))
    yield Stage(
        "vocabulary", places / "vocab.txt",
        lambda: bertref("vocab", data / "corpus.txt", *READING, "--size", recipe.vocab_size, "--out",
                        places / "vocab.txt"),
    )  # fmt: skip
    for name, text in (("corpus", "corpus.txt"), ("tune", "tune.txt")):
        yield Stage(name, places / name, _prepare(places, data / text, name))
    yield from _words(places, recipe)
    yield _teacher(places, recipe)
    yield _student(places, recipe)
    yield Stage(
        "model", places / "model",
        lambda: bertref("convert", places / "student", places / "model", "--dtype", "float16"),
    )  # fmt: skip
    yield Stage("sentences", places / "sentences.jsonl", lambda: _sentences(places / "sentences.jsonl"))
    for name, arguments in evaluations(places, recipe).items():
        yield Stage(name, places / name / "results.json", _runs("evaluate", *arguments, "--out", places / name))
    for name, model in (("words-before", "words"), ("words-after", "model")):
        yield Stage(name, places / name / "model.safetensors", _words_loss(places, recipe, name, model))


READING = ("--documents", "blank-line", "--sentences", "split")


def _runs(*arguments: object, output: Path | None = None) -> Callable[[], None]:
    return lambda: bertref(*arguments, output=output)


def _half() -> tuple[str, int]:
    """Half of the cores, for a stage that another runs beside."""
    return "--threads", max(1, usable_cores() // 2)


def _data(places: TrainingPlaces, recipe: Recipe) -> None:
    counts = write_data(places.reviews, places.phrases, places / "data", taught_share=recipe.taught_share)
    write_file(places / "data" / "counts.json", json.dumps(counts).encode())


def _prepare(places: TrainingPlaces, text: Path, name: str) -> Callable[[], None]:
    return _runs("prepare", text, *READING, "--vocab", places / "vocab.txt", "--out", places / name)


def _words(places: TrainingPlaces, recipe: Recipe) -> Iterator[Stage]:
    """Masked words: short sequences first, then long ones."""

    def describe() -> None:
        size = load_vocab(places / "vocab.txt").size
        config = config_to_dict(replace(STUDENT, vocab_size=size), Numerics.preset("huggingface"), "BertForMaskedLM")
        write_file(places / "student.json", json.dumps(config, indent=2).encode())

    def learn(words: WordsStage, name: str, *begin: object) -> Callable[[], None]:
        return _runs(
            "pretrain", places / "corpus", *begin, "--objective", "mlm", "--seq-len", words.length,
            "--batch-size", words.batch, "--steps", words.steps, "--learning-rate", words.rate, "--dropout", 0,
            "--eval-corpus", places / "tune", "--eval-every", 1200, "--eval-batches", 50, "--save-every", 200,
            "--seed", recipe.seed, "--out", places / name, "--log-json", places / f"{name}.jsonl", "--resume", *_half(),
            output=places / f"{name}.log",
        )  # fmt: skip

    def first() -> None:
        describe()
        learn(recipe.words[0], "words-short", "--config", places / "student.json")()

    for name, run in (("words-short", first),
                      ("words", learn(recipe.words[1], "words", "--init", places / "words-short"))):  # fmt: skip
        yield Stage(name, places / name / "model.safetensors", run, places / f"{name}.jsonl", "words")


def _teacher(places: TrainingPlaces, recipe: Recipe) -> Stage:
    run = _runs(
        "finetune", "classification", places / "data" / "labelled.jsonl", "--dev", places / "data" / "tune.jsonl",
        "--model", places.teacher, "--out", places / "teacher", "--epochs", recipe.teacher_epochs,
        "--batch-size", recipe.teacher_batch, "--learning-rate", recipe.teacher_rate,
        "--max-length", recipe.text_length, "--truncate", "head+tail",
        "--save-every", 100, "--seed", recipe.seed, "--log-json", places / "teacher.jsonl", "--resume", *_half(),
        output=places / "teacher.log",
    )  # fmt: skip
    return Stage("teacher", places / "teacher" / "model.safetensors", run, places / "teacher.jsonl", "teacher")


def _student(places: TrainingPlaces, recipe: Recipe) -> Stage:
    run = _runs(
        "finetune", "classification", places / "data" / "taught.jsonl", "--dev", places / "data" / "tune.jsonl",
        "--model", places / "words", "--teacher", places / "teacher", "--temperature", recipe.temperature,
        "--hard-weight", recipe.hard_weight, "--masked-words", places / "corpus",
        "--masked-words-every", recipe.words_every, "--epochs", recipe.student_epochs,
        "--batch-size", recipe.student_batch, "--learning-rate", recipe.student_rate, "--dropout", 0,
        "--max-length", recipe.text_length, "--truncate", "head+tail", "--answer-windows", "--calibrate",
        "--eval-every", 1000, "--save-every", 100, "--seed", recipe.seed,
        "--out", places / "student", "--log-json", places / "student.jsonl", "--resume",
    )  # fmt: skip
    return Stage("student", places / "student" / "model.safetensors", run, places / "student.jsonl")


def _sentences(path: Path) -> None:
    write_rows(path, ({"text": text, "label": label} for text, label in SENTENCES))


def evaluations(places: TrainingPlaces, recipe: Recipe) -> dict[str, Sequence[object]]:
    """Folder -> what `bertref evaluate` is asked for it. The part "report" is read here, and nowhere else."""
    model, report = ("--model", places / "model"), places / "data" / "report.jsonl"
    length = ("--max-length", recipe.text_length)
    return {
        "report-windows": ("classification", report, *model, *length, "--windows", "--bootstrap", 1000, "--worst", 10),
        "report-both-ends": ("classification", report, *model, *length, "--truncate", "head+tail", "--bootstrap", 1000),
        "report-sentences": ("classification", places / "sentences.jsonl", *model, *length, "--worst", 10),
        "report-phrases": ("classification", places / "data" / "phrases.jsonl", *model, *length, "--bootstrap", 1000),
    }


def _words_loss(places: TrainingPlaces, recipe: Recipe, name: str, model: str) -> Callable[[], None]:
    """The held-out loss of masked words, on the reviews of tune."""
    return _runs(
        "pretrain", places / "corpus", "--init", places / model, "--objective", "mlm", "--steps", 0,
        "--seq-len", recipe.words[1].length, "--eval-corpus", places / "tune", "--eval-batches", 100,
        "--seed", recipe.seed, "--out", places / name, "--log-json", places / f"{name}.jsonl",
    )  # fmt: skip
