"""Parts to train on and to score on, made of SQuAD's two development files.

The questions of version 2.0's file are of 16 of the 48 articles of version 1.1's (which stand in both, some under other
questions), so a model that learnt from one file may not be scored on the other. These parts share no article:

    squad/train-v1.1.json    32 articles of version 1.1 that are not in version 2.0's file
    squad/dev-v1.1.json      the other 16
    squad2/train-v2.0.json   12 articles of version 2.0, the first ones in its order
    squad2/dev-v2.0.json     the other 4

    python -m tests.train.finetuning.squad_parts dev-v1.1.json dev-v2.0.json OUT
"""

import json
import sys
from pathlib import Path
from typing import Any

from bertref.data.tasks.squad import load_json

LEARNT = 12
"""Articles of version 2.0 to train on."""


def write_parts(first: Path, second: Path, out: Path) -> dict[str, int]:
    """Writes the parts of the files of version 1.1 and 2.0 (plain or `.gz`) into `out`; file -> its questions."""
    one, two = load_json(first), load_json(second)
    titles = {article["title"] for article in two["data"]}
    parts = {
        "squad/train-v1.1.json": (one, [a for a in one["data"] if a["title"] not in titles]),
        "squad/dev-v1.1.json": (one, [a for a in one["data"] if a["title"] in titles]),
        "squad2/train-v2.0.json": (two, two["data"][:LEARNT]),
        "squad2/dev-v2.0.json": (two, two["data"][LEARNT:]),
    }
    for name, (whole, articles) in parts.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(json.dumps({"version": whole["version"], "data": articles}), encoding="utf-8")
    return {name: questions(articles) for name, (_, articles) in parts.items()}


def questions(articles: list[Any]) -> int:
    return sum(len(paragraph["qas"]) for article in articles for paragraph in article["paragraphs"])


if __name__ == "__main__":
    print(write_parts(*map(Path, sys.argv[1:4])))
