"""What the evaluations of the default model said, gathered for its card (`card_text`)."""

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.report import cpu
from ...errors import InputError
from ...metrics.calibration import expected_calibration_error
from ...plumbing.files import write_file
from .baseline import baselines
from .card_text import card_text
from .recipe import Recipe
from .rows import read_rows
from .stages import TrainingPlaces

TIMES = "times.jsonl"
BINS = 15
"""Of confidence, for the error of calibration."""
LENGTHS = (0, 100, 200, 400, 10**9)
"""WordsStage of a review, for accuracy by length."""
CONFIDENCES = (0.5, 0.7, 0.9, 0.97, 1.0)
LIMITS = 5


def write_card(places: TrainingPlaces, recipe: Recipe) -> None:
    """Writes README.md into the model's folder, and `figures.json`, the same for programs."""
    figures = _figures(places)
    write_file(places / "model" / "figures.json", (json.dumps(figures, indent=2) + "\n").encode())
    text = card_text(figures, teacher=Path(places.teacher).parent.name, seed=recipe.seed)
    write_file(places / "model" / "README.md", text.encode())


def _figures(places: TrainingPlaces) -> dict[str, Any]:
    results = {name: _results(places / name) for name in ("report-windows", "report-both-ends", "report-sentences",
                                                          "report-phrases")}  # fmt: skip
    answers = _answers(places / "report-windows" / "predictions.jsonl")
    words = [len(row["text"].split()) for row in read_rows(places / "data" / "report.jsonl")]
    machine = cpu()
    student = json.loads((places / "student" / "results.json").read_text(encoding="utf-8"))
    return {
        "counts": json.loads((places / "data" / "counts.json").read_text(encoding="utf-8")),
        "results": {name: _metrics(found) for name, found in results.items()},
        "confusion": results["report-windows"]["confusion"], "bins": BINS,
        "by length": by(answers.right, words, LENGTHS),
        "by confidence": by(answers.right, answers.confidence, CONFIDENCES),
        "calibration error": answers.calibration_error(),
        "baselines": baselines(places / "data" / "fit.jsonl", places / "data" / "report.jsonl"),
        "words": {name: _last(places / f"{name}.jsonl") for name in ("words-before", "words-after")},
        "temperature": student["temperature"], "tuned": student["metrics"],
        "minutes": _minutes(places / TIMES),
        "machine": {"cpu": machine["model"], "cores": machine["usable"]},
        "worst": results["report-windows"].get("worst", [])[:LIMITS],
        "wrong sentences": results["report-sentences"].get("worst", []),
    }  # fmt: skip


class _Answers:
    """Predictions of a part with two labels."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.right = np.array([row["prediction"] == row["truth"] for row in rows])
        self.confidence = np.array([row["confidence"] for row in rows])
        labels = sorted(rows[0]["scores"])
        self._truth = np.array([labels.index(row["truth"]) for row in rows])
        self._scores = np.array([[row["scores"][label] for label in labels] for row in rows])

    def calibration_error(self) -> float:
        return expected_calibration_error(self._truth, self._scores, bins=BINS).value


def _answers(path: Path) -> _Answers:
    return _Answers(list(read_rows(path)))


def by(right: np.ndarray[Any, Any], values: Iterable[float], edges: Sequence[float]) -> list[dict[str, Any]]:
    """How many values are between two edges (the upper one is included in the last), and the share that is right."""
    measured = np.asarray(list(values))
    found = []
    for low, high in itertools.pairwise(edges):
        here = (measured >= low) & ((measured < high) | (high == edges[-1]))
        share = float(right[here].mean()) if here.any() else None
        found.append({"from": low, "to": high, "texts": int(here.sum()), "accuracy": share})
    return found


def _results(folder: Path) -> dict[str, Any]:
    (part,) = json.loads((folder / "results.json").read_text(encoding="utf-8"))["parts"].values()
    found: dict[str, Any] = part
    return found


def _metrics(part: dict[str, Any]) -> dict[str, Any]:
    return {name: part[name] for name in ("examples", "metrics", "intervals") if name in part}


def _last(path: Path) -> dict[str, float]:
    """What the last event of a pre-training says of the held-out reviews."""
    event = list(read_rows(path))[-1]
    if "masked_lm_loss" not in event:
        raise InputError(f"{path}: the run has not ended")
    return {name: event[name] for name in ("masked_lm_loss", "masked_lm_accuracy", "unigram_loss")}


def _minutes(path: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in read_rows(path):
        found[row["stage"]] = found.get(row["stage"], 0.0) + row["seconds"] / 60
    return {name: round(minutes, 1) for name, minutes in found.items()}
