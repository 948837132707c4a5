"""Trains the default model.

    python -m bertref.default_model.training --reviews aclImdb --phrases SST-2 --teacher MODEL --out FOLDER [--long]

Kill it at any moment; the same command goes on.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...errors import BertrefError, InputError
from .card import TIMES, write_card
from .plan import planned
from .recipe import LONG, SHORT, Recipe
from .stages import Stage, TrainingPlaces, chains, stages
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
    todo = list(stages(places, recipe))
    if until is not None:
        names = [stage.name for stage in todo]
        if until not in names:
            raise InputError(f"no stage is called {until!r}; there are {', '.join(names)}")
        todo = todo[: names.index(until) + 1]
    for at_once in chains(todo):
        with ThreadPoolExecutor(len(at_once)) as threads:
            list(threads.map(lambda chain: _run_chain(chain, places, recipe), at_once))
    if until is None:
        write_card(places, recipe)
        print(f"the model: {places / 'model'}")


def _run_chain(chain: Sequence[Stage], places: TrainingPlaces, recipe: Recipe) -> None:
    for stage in chain:
        if not stage.done:
            _run(stage, places, recipe)


def _run(stage: Stage, places: TrainingPlaces, recipe: Recipe) -> None:
    """Runs a stage, and says what it had to compute and how fast it was; its seconds are noted for the card."""
    work = planned(stage.name, places, recipe)
    if work:
        beside = f"; see {places / stage.name}.log" if stage.chain else ""
        print(f"{stage.name}: {_said(work.tokens, work.operations)} planned{beside}", flush=True)
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
