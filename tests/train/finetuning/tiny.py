"""Fine-tuning runs of a second, of a small network with random weights, on small files."""

import json
from pathlib import Path
from typing import Any

from bertref.train.finetuning.options import FinetuneOptions
from bertref.train.finetuning.run import FinetuneResult, finetune
from bertref.train.report import Report, silent

from . import running

SENTENCES = """Ada B-PER
Lovelace I-PER
lived O
in O
London B-LOC
. O

it O
rained O
in O
New B-LOC
York I-LOC

he O
wrote O
the O
book O

Ada B-PER
went O
"""
CHOICES = """video-id,sent1,sent2,ending0,ending1,ending2,ending3,label
a,It rained.,He,lived in the city,wrote,went,went home,2
a,Ada wrote the book.,She,went,lived in New York,rained,wrote,0
b,Who lived where?,Ada,lived in London,wrote,went,rained,0
"""
TEXTS = "text,label\nit rained,bad\nAda wrote the book,good\nhe went to London,good\nwho wrote,bad\n"
NUMBERS = "text,label\nit rained,0.5\nAda wrote the book,2\nhe went to London,1\nwho wrote,-1\n"
SEVERAL = 'text,label\nit rained,"rain"\nAda wrote the book,"book,person"\nhe went,"person"\nwho wrote,"book"\n'
QUESTIONS = json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [{
    "context": "Ada lived in London. It rained.",
    "qas": [{"id": "q", "question": "who lived?", "answers": [{"text": "Ada", "answer_start": 0}]}],
}]}]})  # fmt: skip


def run(folder: Path, task: str, data: str, report: Report = silent, **changes: Any) -> FinetuneResult:
    """Fine-tunes on `data`, the content of a file which the run is evaluated on, too; into `folder`/out."""
    ending = "json" if data.startswith("{") else "csv" if data.partition("\n")[0].count(",") else "txt"
    path = folder / f"train.{ending}"
    path.write_text(data)
    model = folder / "init"
    if not model.exists():
        running.model(model)
    options = {
        "task": task, "data": str(path), "dev": str(path), "model": str(model),
        "out": str(folder / "out"), "steps": 3, "batch_size": 2, "learning_rate": 1e-3, "max_length": 24,
        "precision": "float64", **changes,
    }  # fmt: skip
    return finetune(FinetuneOptions(**options), report)
