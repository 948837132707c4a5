"""Answers as files that SQuAD's scripts read, as the original's `run_squad.py` writes them.

    predictions.json        id -> text, "" for no answer
    nbest_predictions.json  id -> [{"text", "probability", "start_logit", "end_logit"}, ...], best first
    null_odds.json          id -> score of "no answer" minus that of the best span (version 2.0)

Of version 2.0 "no answer" stands in the n-best list at the place of its score, and behind the others where it is not
among the `N_BEST`; the threshold decides in predictions.json alone. Indented by 4, ids in the order of the part.

Source: google-research/bert, `run_squad.py`, `write_predictions`.
"""

import json
from pathlib import Path
from typing import Any

from ..inference.question_answering import softmax
from ..plumbing.files import write_file
from ..tasks.span_search import N_BEST, Candidate, Candidates
from .spans import SpanAnswersOfPart

PREDICTIONS, NBEST, NULL_ODDS = "predictions.json", "nbest_predictions.json", "null_odds.json"


def write_squad_files(folder: Path, answers: SpanAnswersOfPart) -> list[Path]:
    """Writes the files into a folder that exists; null_odds.json only of version 2.0. Returns their paths."""
    unanswerable = answers.threshold is not None
    content: dict[str, Any] = {
        PREDICTIONS: answers.predictions,
        NBEST: {name: nbest(each, unanswerable) for name, each in answers.candidates.items()},
    }
    if unanswerable:
        content[NULL_ODDS] = answers.null_odds
    for name, values in content.items():
        write_file(folder / name, (json.dumps(values, indent=4) + "\n").encode())
    return [folder / name for name in content]


def nbest(found: Candidates, unanswerable: bool) -> list[dict[str, Any]]:
    """One question's n-best list."""
    listed = _with_null(found) if unanswerable else found.spans
    probabilities = softmax([candidate.score for candidate in listed])
    return [
        {"text": c.text, "probability": float(p), "start_logit": c.start_logit, "end_logit": c.end_logit}
        for c, p in zip(listed, probabilities, strict=True)
    ]


def _with_null(found: Candidates) -> list[Candidate]:
    place = sum(span.score >= found.null.score for span in found.spans)
    listed = [*found.spans[:place], found.null, *found.spans[place:]]
    return listed[:N_BEST] if place < N_BEST else listed
