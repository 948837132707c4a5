"""What lies beside a fine-tuned model: `results.json` for programs, and a model card, `README.md`, for people."""

import json
import math
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...errors import CheckpointError
from ...plumbing.files import write_file
from .history import History, to_json
from .setup import FinetuneSetup

RESULTS, CARD = "results.json", "README.md"
SHOWN = (
    "epochs", "steps", "batch_size", "learning_rate", "warmup", "weight_decay", "clip_norm", "max_length", "seed",
    "precision", "layer_decay", "label_smoothing",
)  # fmt: skip
"""Options that the card lists."""


@dataclass(frozen=True)
class Kept:
    """The model that was kept: the step and the metrics of its evaluation (None, {} without one), and the temperature
    that its logits are divided by, None if it was not calibrated."""

    step: int | None
    metrics: dict[str, float]
    temperature: float | None = None


def write_results(out: Path, setup: FinetuneSetup, history: History, step: int, kept: Kept) -> None:
    """Everything as JSON: `metrics` are those of the model that was kept, `evaluations` all on the way."""
    content: dict[str, Any] = {
        "schema": 1, "task": setup.basis.options.task, "metric": history.metric, "steps": step,
        "best_step": step if kept.step is None else kept.step, "metrics": to_json(kept.metrics),
        **({} if kept.temperature is None else {"temperature": kept.temperature}),
        **({"unanswerable": True} if getattr(setup.settings, "null_threshold", None) is not None else {}),
        "evaluations": [{"step": at, "metrics": to_json(metrics)} for at, metrics in history.evaluations],
        "labels": list(setup.labels), "examples": setup.store.counted["examples"],
        "evaluated_on": {name: part.name for name, part in setup.evaluated.items()},
        "options": asdict(setup.basis.options), "seconds": round(history.seconds, 3), "versions": versions(),
    }  # fmt: skip
    write_file(out / RESULTS, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_results(out: Path) -> dict[str, Any]:
    """What `write_results` wrote. Raises `CheckpointError` if it is missing or damaged."""
    try:
        found = json.loads((out / RESULTS).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not {"metrics", "steps", "best_step", "metric", "seconds"} <= found.keys():
            raise ValueError("keys are missing")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{out / RESULTS}: is missing or damaged ({error})") from None
    return found


def versions() -> dict[str, str]:
    """What the run ran on."""
    return {"bertref": __version__, "numpy": np.__version__, "python": platform.python_version()}


def write_card(out: Path, setup: FinetuneSetup, history: History, step: int, kept: Kept) -> None:
    """The model card."""
    options = setup.basis.options
    settings = {name: getattr(options, name) for name in SHOWN} | {"optimizer": setup.recipe.optimizer.kind}
    settings["steps"] = setup.steps
    lines = [
        "---", "library_name: transformers", f"pipeline_tag: {_pipeline(setup)}", "tags:", "- bert", "- bertref", "---",
        "", f"# {Path(options.out).name}", "",
        f"`{Path(options.model).name}` fine-tuned for {setup.basis.info.kind} with bertref {__version__}.", "",
        "## Data", "",
        f"- learnt from: {setup.store.counted['examples']} examples of `{Path(options.data).name}` ({options.task})",
        *(f"- evaluated on: {part.name} ({name})" for name, part in setup.evaluated.items()),
        *([f"- labels: {', '.join(setup.labels)}"] if setup.labels else []),
        "", "## Results", "",
        *_table(kept, step), "", "## Training", "",
        *(f"- {name}: {value}" for name, value in settings.items() if value is not None),
        f"- time: {history.seconds:.0f} s",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions().items())}",
    ]  # fmt: skip
    write_file(out / CARD, ("\n".join(lines) + "\n").encode())


def _table(kept: Kept, step: int) -> list[str]:
    if kept.step is None:
        return [f"The weights are those after step {step}; nothing was evaluated."]
    shown = {name: "undefined" if math.isnan(value) else f"{value:.4f}" for name, value in kept.metrics.items()}
    rows = [f"| {name} | {value} |" for name, value in shown.items()]
    said = f"The weights are those after step {kept.step} of {step}."
    if kept.temperature is not None:
        said += f" The classifier's logits are divided by {kept.temperature:.4f}."
    return [said, "", "| metric | value |", "|---|---|", *rows]


PIPELINES = {
    "question-answering": "question-answering", "token-classification": "token-classification",
    "multiple-choice": "multiple-choice",
}  # fmt: skip


def _pipeline(setup: FinetuneSetup) -> str:
    return PIPELINES.get(setup.basis.info.kind, "text-classification")
