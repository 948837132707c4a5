"""Trains the default model.

    python -m bertref.default_model.training --reviews aclImdb --phrases SST-2 --teacher MODEL --out FOLDER [--long]

Kill it at any moment; the same command goes on.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from ...errors import BertrefError
from .card import TIMES, write_card
from .plan import planned
from .recipe import LONG, SHORT, Recipe
from .stages import Stage, TrainingPlaces, stages
from .work import logged


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bertref.default_model.training", description=__doc__)
    parser.add_argument("--reviews", required=True, type=Path, help="The folder aclImdb.")
    parser.add_argument("--phrases", required=True, type=Path, help="The folder SST-2 of GLUE.")
    parser.add_argument("--teacher", required=True, help="A larger encoder; it is not shipped.")
    parser.add_argument("--out", required=True, type=Path, help="Where everything is made.")
    parser.add_argument("--long", action="store_true", help="Several times as long, and better.")
    parser.add_argument("--until", metavar="STAGE", help="Stop behind this stage.")
    given = parser.parse_args()
    try:
        places = TrainingPlaces(given.reviews, given.phrases, given.teacher, given.out)
        run(places, LONG if given.long else SHORT, given.until)
    except BertrefError as error:
        sys.exit(str(error))


def run(places: TrainingPlaces, recipe: Recipe, until: str | None = None) -> None:
    """Runs the stages that are not done, and writes the model's card."""
    places.out.mkdir(parents=True, exist_ok=True)
    for stage in stages(places, recipe):
        if not stage.done:
            _run(stage, places, recipe)
        if stage.name == until:
            return
    write_card(places, recipe)
    print(f"the model: {places / 'model'}")


def _run(stage: Stage, places: TrainingPlaces, recipe: Recipe) -> None:
    """Runs a stage, and says what it had to compute and how fast it was; its seconds are noted for the card."""
    work = planned(stage.name, places, recipe)
    if work:
        print(f"{stage.name}: {_said(work.tokens, work.operations)} planned", flush=True)
    start = time.perf_counter()
    stage.run()
    seconds = time.perf_counter() - start
    with open(places / TIMES, "a", encoding="utf-8") as file:
        file.write(json.dumps({"stage": stage.name, "seconds": round(seconds, 1)}) + "\n")
    print(f"{stage.name}: {seconds / 60:.1f} min", flush=True)
    if work and stage.log:
        tokens, busy = logged(stage.log)
        done = work.operations * tokens / work.tokens
        print(f"{stage.name}: {_said(tokens, done)} computed in {busy / 60:.1f} min of training: "
              f"{done / busy / 1e9:.0f} GFLOP/s", flush=True)  # fmt: skip


def _said(tokens: int, operations: float) -> str:
    return f"{tokens / 1e6:.1f} M tokens, {operations / 1e12:,.0f} TFLOP"


if __name__ == "__main__":
    main()
