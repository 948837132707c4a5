"""Runs on finished examples: their vocabulary, their batches, and what the run is evaluated on."""

from pathlib import Path
from typing import Any

from ...checkpoint import latest
from ...data.pretraining.corpus import Corpus, is_corpus
from ...data.pretraining.pipeline import PretrainingData
from ...data.pretraining.record_files import (
    held_out_files,
    is_records,
    record_files,
    tokenizer_beside,
    vocab_beside,
    vocab_of,
)
from ...data.pretraining.tfrecord_data import TFRecordData
from ...errors import InputError
from ...text import Tokenizer, Vocab
from ..report import Report
from .options import PretrainOptions
from .origin import Origin
from .text import tokenizer_of


def open_records(
    options: PretrainOptions, origin: Origin | None, report: Report
) -> tuple[Tokenizer, TFRecordData, TFRecordData | None]:
    """The tokenizer, the examples to learn from, and the held-out ones beside them, where those are evaluated on.

    No pairs or masks are drawn any more: raises `InputError` where an option says another length or number than the
    records have. (A run with a checkpoint goes on and is told so: version 0.1.0 took no notice of --max-predictions.)
    """
    files = record_files(options.corpus)
    vocab = vocab_of(files, options.vocab) if origin is None else _vocab_of_origin(files, origin)
    made = tokenizer_beside(files, vocab)
    if origin:
        tokenizer = origin.tokenizer
    elif options.vocab:
        tokenizer = Tokenizer.open(options.vocab, lower_case=options.lower_case)
    else:
        tokenizer = Tokenizer(vocab, lower_case=options.lower_case)
    if made is not None:
        tokenizer = tokenizer_of(options, origin, made, files[0].parent, report)
    data = TFRecordData(files, seed=options.seed)
    if data.seq_len != options.seq_len:
        raise InputError(f"{files[0]}: its sequences have {data.seq_len} tokens; add --seq-len {data.seq_len}")
    if options.max_predictions not in (None, data.max_predictions):
        said = f"{files[0]}: its sequences have {data.max_predictions} predictions, not {options.max_predictions}"
        if latest(Path(options.out)) is None:
            raise InputError(f"{said}; leave --max-predictions out")
        report("message", {"text": f"{said}; --max-predictions has no effect on records."})
    wanted = options.eval_on == "held-out" and not options.eval_corpus
    held_out = held_out_files(files) if wanted else []
    return tokenizer, data, TFRecordData(held_out) if held_out else None


def _vocab_of_origin(files: list[Path], origin: Origin) -> Vocab:
    own, beside = origin.tokenizer.vocab, vocab_beside(files)
    if beside is not None and beside.sha256 != own.sha256:
        raise InputError(f"{beside.source}: is another vocabulary than that of --init {origin.name}")
    return own


def open_evaluation(path: str, vocab: Vocab, rules: dict[str, Any]) -> PretrainingData | TFRecordData:
    """The examples of `--eval-corpus`: records, or those of a prepared corpus by `rules`, with masks that stay.

    Raises `InputError` if the path is neither, or was made with another vocabulary.
    """
    if is_records(path):
        files = record_files([path])
        own = vocab_beside(files) or vocab
        if own.sha256 != vocab.sha256:
            raise InputError(f"--eval-corpus {path}: its vocabulary {own.source} is another than {vocab.source}")
        return TFRecordData(files)
    if is_corpus(path):
        return PretrainingData(Corpus.open(path, vocab), vocab, masking="static", dupe_factor=1, **rules)
    if not Path(path).exists():
        raise InputError(f"--eval-corpus {path}: no such file or folder")
    raise InputError(f"--eval-corpus {path}: neither TFRecord files nor a corpus made by `bertref prepare`; prepare it")
