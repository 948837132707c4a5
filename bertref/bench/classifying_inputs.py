"""The material of `bench predict` on a file: its lines as texts, and the classifier that answers for them.

Texts are cut where the model's positions end, their first tokens kept, so that both sides read the same tokens; windows
that the model may record are not used.
"""

from dataclasses import replace
from pathlib import Path

from ..checkpoint import SavedModel, load_model
from ..errors import InputError
from ..inference.sequence_classification import problem_of
from .job import Job
from .lengths import lines_of

HEADS = ("sequence_classification",)


def with_texts(job: Job, most: int) -> Job:
    """The job with its first `most` texts: their lengths, and the config and the positions of the model.

    Raises `InputError` for a folder that holds no classifier whose scores are the softmax of its logits.
    """
    model = _classifier(job.model_folder)
    limit = model.config.max_length
    encodings = model.tokenizer.encode_batch(lines_of(job.ragged or "")[:most], None, limit)
    lengths = tuple(len(encoding.input_ids) for encoding in encodings)
    return replace(job, config=str(job.model_folder / "config.json"), seq_len=limit, lengths=lengths)


def texts(job: Job) -> list[str]:
    """The texts of the job, in the order of the file."""
    return lines_of(job.ragged or "")[: len(job.lengths)]


def batches(job: Job) -> list[list[str]]:
    """The texts, `batch_size` at a time."""
    found = texts(job)
    return [found[i : i + job.batch_size] for i in range(0, len(found), job.batch_size)]


def _classifier(folder: Path) -> SavedModel:
    model = load_model(folder)
    if not set(HEADS) <= set(model.heads):
        raise InputError(f"{folder}: this model has no classifier; name one with --model DIR")
    problem = problem_of(model)
    if problem != "single_label_classification" or model.activation not in (None, "softmax"):
        raise InputError(f"{folder}: its scores are no softmax ({model.activation or problem}); name another --model")
    return model
