"""Measures the one limit of `bertref.verify`: how far correct implementations go, in units of the noise floor.

    python -m tests.verify.calibrate --cases 30

Every case has another size, dialect and optimiser, none of them one that the tests use, and seeds from 1,000,000 on.
For each implementation and precision the largest ratio of every case is kept, over all answers, measures and blocks.
The next whole number above the largest of these, over all implementations, is the limit.
"""

import argparse
import json
import math
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bertref.verify.cases.case import generate
from bertref.verify.judgement.judge import compare
from bertref.verify.records import Case, Report
from bertref.verify.subjects.backend import BackendSubject
from bertref.verify.subjects.transformers import TransformersSubject

FIRST_SEED = 1_000_000


def subjects() -> dict[str, Any]:
    """The implementations that are taken for right, by name."""
    found: dict[str, Any] = {}
    for dtype in ("float64", "float32"):
        found[f"numpy {dtype}"] = BackendSubject("numpy", dtype=dtype, kernels=False)
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        found[f"torch {dtype}"] = BackendSubject("torch", dtype=dtype, kernels=False)
        for attention in ("eager", "sdpa"):
            found[f"transformers {attention} {dtype}"] = TransformersSubject(attention=attention, dtype=dtype)
    for attention in ("eager", "sdpa"):
        found[f"transformers {attention} mixed-bfloat16"] = TransformersSubject(
            attention=attention, autocast="bfloat16"
        )
    return found


def random_case(seed: int) -> Case:
    """A case of a size drawn from the seed; only what transformers can compute, too."""
    draw = np.random.default_rng(seed)
    heads = int(draw.integers(1, 6))
    sizes = {
        "B": int(draw.integers(1, 8)), "S": int(draw.integers(4, 40)), "L": int(draw.integers(1, 4)), "A": heads,
        "H": heads * int(draw.choice([4, 6, 8, 10, 16])), "I": int(draw.integers(20, 200)),
        "V": int(draw.integers(30, 400)), "P": int(draw.integers(1, 4)),
    }  # fmt: skip
    edge = str(draw.choice(["", "", "", "large-scores"]))
    act = str(draw.choice(["gelu", "gelu", "relu"]))
    return generate(seed, size="tiny", edge=edge, hidden_act=act, **sizes)


def largest(report: Report) -> tuple[float, str]:
    """The largest ratio of what a step added, by which alone a right implementation could be called wrong."""
    return max((f.own or 0.0, f.name) for f in report.findings)


def measure(cases: int, names: list[str]) -> Iterator[tuple[str, float, str, int]]:
    """(implementation, largest ratio, its answer, seed), case by case."""
    chosen = {name: subject for name, subject in subjects().items() if not names or any(n in name for n in names)}
    for seed in range(FIRST_SEED, FIRST_SEED + cases):
        case = random_case(seed)
        for name, subject in chosen.items():
            yield (name, *largest(compare(case, subject.answer(case), subject.precision)), seed)


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--only", action="append", default=[], help="implementations whose name holds this")
    parser.add_argument("--json", type=Path, help="write every case's maximum here")
    options = parser.parse_args()
    maxima: dict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for name, ratio, answer, seed in measure(options.cases, options.only):
        maxima[name].append((ratio, answer, seed))
        print(f"\r{seed} {name:40}", end="", file=sys.stderr)
    print(f"\n{'implementation':34}{'cases':>6}{'median':>8}{'90 %':>7}{'max':>7}  largest")
    for name, found in maxima.items():
        ratios = [ratio for ratio, _, _ in found]
        worst = max(found)
        median, upper = np.quantile(ratios, [0.5, 0.9])
        print(f"{name:34}{len(ratios):6}{median:8.2f}{upper:7.2f}{worst[0]:7.2f}  "
              f"{worst[1]} (seed {worst[2]})")  # fmt: skip
    print(f"limit: {math.floor(max(max(found)[0] for found in maxima.values())) + 1}")
    if options.json:
        options.json.write_text(json.dumps(maxima), encoding="utf-8")


if __name__ == "__main__":
    main()
