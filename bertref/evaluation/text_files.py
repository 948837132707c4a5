"""Probabilities as `run_classifier.py` writes them."""

from pathlib import Path

from ..metrics.value import Floats
from ..plumbing.files import write_file

TEST_RESULTS = "test_results"


def write_scores(folder: Path, suffix: str, scores: Floats | None) -> None:
    """`test_results.tsv`: the scores (N, K) of each example, in the labels' order, separated by tabs, without a header;
    where they are not known, nothing. Numbers are written with as many digits as they have.

    Source: google-research/bert, `run_classifier.py`.
    """
    if scores is None:
        return
    lines = ("\t".join(map(repr, map(float, row))) for row in scores)
    write_file(folder / f"{TEST_RESULTS}{suffix}.tsv", "".join(f"{line}\n" for line in lines).encode())
