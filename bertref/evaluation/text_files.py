"""The files that go with texts: probabilities as `run_classifier.py` writes them."""

from pathlib import Path

from ..data.tasks.examples import Part
from ..plumbing.files import write_file
from .texts import TextAnswers

TEST_RESULTS = "test_results"


def write_text_files(kind: str, folder: Path, suffix: str, answers: TextAnswers, part: Part) -> None:
    """`test_results.tsv`: the scores of each text, in the labels' order, separated by tabs, without a header; where
    they are not known, nothing. Numbers are written with `repr`'s digits, so that none is lost.

    Source: google-research/bert, `run_classifier.py`.
    """
    rows = answers.scores if kind != "regression" else answers.predictions
    if rows is None:
        return
    lines = ["\t".join(map(repr, map(float, row))) for row in rows]
    write_file(folder / f"{TEST_RESULTS}{suffix}.tsv", "".join(f"{line}\n" for line in lines).encode())
