"""From options to everything that a run needs: text, vocabulary, batches, model, recipe."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from ... import backends
from ...backends.backend import Backend
from ...checkpoint import SavedModel, load_model
from ...config import BertConfig, Numerics, config_notes, read_json
from ...data.pretraining.batch import PretrainingBatch
from ...data.pretraining.corpus import Corpus
from ...data.pretraining.pipeline import PretrainingData, split_documents
from ...data.pretraining.record_files import is_records
from ...data.pretraining.tfrecord_data import TFRecordData
from ...errors import InputError
from ...layers import Settings
from ...metrics import unigram_loss
from ...objectives import PretrainingObjective
from ...opset import OpSet
from ...optim import Optimizer, Schedule
from ...precision import Precision
from ...presets import PRESETS
from ...text import Tokenizer, Vocab, kind_of
from ..parallel.shards import must_take_pieces
from ..parallel.world import ALONE, World
from ..report import Report
from ..step import TrainingRecipe
from .options import DEFAULT_CONFIG, DROPOUT, PretrainOptions, read_architecture
from .origin import Origin
from .records import open_evaluation, open_records
from .student import taught
from .text import given_tokenizer, open_text

ALL_RECORDS = (
    "records are not split, because the same sentences stand in several of them. `prepare --held-out` writes held-out "
    "documents to files of their own; or give --eval-corpus or --eval-on train."
)
ONE_DOCUMENT = (
    "the text is one document, and only whole ones are held out. If blank lines separate documents, add --documents "
    "blank-line; or give --eval-corpus or --eval-on train."
)
PAIRS = (
    "Records hold sentence pairs, half of them random; --objective mlm reads both segments and judges no pair. Running "
    "text is better for it: give the text or a prepared corpus."
)


@dataclass(frozen=True)
class Setup:
    """What the loop works with."""

    ops: OpSet
    recipe: TrainingRecipe
    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer
    data: PretrainingData | TFRecordData
    evaluation: list[PretrainingBatch]
    unigram: float | None
    size: dict[str, int]

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads of the model."""
        return self.recipe.objective.heads

    @property
    def asked(self) -> PretrainingObjective:
        """What is evaluated: without a teacher."""
        return PretrainingObjective(next_sentence="next_sentence" in self.heads)


class Basis(NamedTuple):
    """What the options and the models of `--init` and `--teacher` decide by themselves, without text and without a
    folder. `tokenizer` is None where the text or the records bring it."""

    backend: Backend
    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer | None
    origin: Origin | None
    teacher: SavedModel | None


def basis_of(options: PretrainOptions, origin: Origin | None = None) -> Basis:
    """Raises `BackendUnavailable` where the backend can't be used here, `InputError` where it does not compute in the
    precision or has not the random numbers that are asked for, the model has too few positions, or `--vocab` is not the
    vocabulary of `--init`."""
    backend = backends.get(backends.local(options.backend))
    Precision.preset(options.precision).validate(backend)
    OpSet(backend).drawing(options.rng)
    config, numerics = architecture(options, origin)
    if options.next_sentence and "next_sentence" in config.variant.lacks:
        raise InputError(
            f"--objective {options.objective}: {config.variant.title} has no head for pairs of sentences; "
            "use --objective mlm"
        )
    if options.seq_len > config.max_length:
        raise InputError(
            f"--seq-len {options.seq_len} is longer than the model's {config.max_length} positions"
        )
    teacher = load_model(options.teacher) if options.teacher else None
    return Basis(backend, config, numerics, given_tokenizer(options, origin), origin, teacher)


def set_up(
    options: PretrainOptions,
    basis: Basis,
    out: Path,
    report: Report,
    pass_counts: Sequence[int] = (),
    world: World = ALONE,
) -> Setup:
    """Reads or makes everything; what is made of the text is kept in `out`, so that a resumed run finds it.

    `pass_counts` are those of the run that is resumed: a pass of another length is refused."""
    backend, config, numerics, given, origin, teacher = basis
    for note in () if origin else notes(options):
        report("message", {"text": note})
    data: PretrainingData | TFRecordData
    held_out: PretrainingData | TFRecordData | None
    if any(map(is_records, options.corpus)):
        if options.pairs == "order":
            raise InputError("records hold no pairs in either order, which --objective mlm+sop is about; give text")
        tokenizer, data, held_out = open_records(options, origin, report)
        size = {"examples": len(data)}
    else:
        kind = options.vocab_kind or kind_of(config.model_type)
        tokenizer, corpus = open_text(options, origin, given, out, report, kind)
        data, held_out = _data(options, corpus, pass_counts)
        size = {"tokens": data.tokens, "documents": len(data.documents)}
    if options.eval_corpus:
        held_out = open_evaluation(options.eval_corpus, tokenizer.vocab, _rules(options))
    if not options.next_sentence and any(isinstance(source, TFRecordData) for source in (data, held_out)):
        report("message", {"text": PAIRS})
    config = _fitted(config, tokenizer.vocab, options, origin)
    batches = _evaluation(options, data, held_out, report)
    for batch in batches:
        batch.validate(config)
    unigram = _unigram(data, batches) if batches and isinstance(data, PretrainingData) else None
    ops, recipe = OpSet(backend, kernels=options.kernels), recipe_of(options, config, numerics, backend)
    if teacher:
        recipe = replace(recipe, objective=taught(options, teacher, config, tokenizer, ops))
    if options.shard_optimizer:
        must_take_pieces(recipe.optimizer)
    return Setup(ops, replace(recipe, world=world), config, numerics, tokenizer, data, batches, unigram, size)


def recipe_of(options: PretrainOptions, config: BertConfig, numerics: Numerics, backend: Backend) -> TrainingRecipe:
    """What a step of the run does."""
    packed = options.layout == "packed" or (options.layout == "auto" and not backend.static_shapes)
    overrides = {"kind": options.optimizer} if options.optimizer else {}
    schedule = cast(Any, options.schedule or numerics.schedule)
    return TrainingRecipe(
        objective=PretrainingObjective(next_sentence=options.next_sentence),
        settings=Settings(config, numerics, options.recompute),
        optimizer=Optimizer.from_numerics(numerics, weight_decay=options.weight_decay, **overrides),
        schedule=Schedule(kind=schedule, peak=options.rate, steps=max(options.steps, 1), warmup_steps=options.warmup),
        precision=Precision.preset(options.precision),
        clip_norm=options.clip_norm or None,
        chunks=options.accumulate,
        packed=packed,
        seed=options.seed,
        rng=options.rng,
    )


def architecture(options: PretrainOptions, origin: Origin | None = None) -> tuple[BertConfig, Numerics]:
    """The config and the dialect of `--init` or those that the options name, before the vocabulary is known."""
    if origin is None:
        config, numerics = read_architecture(options)
        p = options.dropout if options.dropout is not None else DROPOUT.get(options.size)
    else:
        config, numerics, p = origin.config, origin.numerics, options.dropout
    if p is not None:
        config = replace(config, hidden_dropout_prob=p, attention_probs_dropout_prob=p)
    return config, numerics


def notes(options: PretrainOptions) -> tuple[str, ...]:
    """What to tell of the config's file, if it is one."""
    name = options.config or DEFAULT_CONFIG
    return () if name in PRESETS else config_notes(read_json(Path(name)), where=name)


def _fitted(config: BertConfig, vocab: Vocab, options: PretrainOptions, origin: Origin | None) -> BertConfig:
    """The config with a table for the vocabulary; a config file's own size must hold it, and a model's does."""
    if origin is not None:
        return config
    if (options.config or DEFAULT_CONFIG) in PRESETS:
        return replace(config, vocab_size=len(vocab), pad_token_id=vocab.pad)
    if config.vocab_size < len(vocab):
        raise InputError(
            f"{options.config}: vocab_size is {config.vocab_size}, but the vocabulary has {len(vocab)} tokens"
        )
    return config


def _data(
    options: PretrainOptions, corpus: Corpus, pass_counts: Sequence[int]
) -> tuple[PretrainingData, PretrainingData | None]:
    """The batches to learn from, and those held out."""
    train = np.arange(corpus.documents)
    held_out: np.ndarray | None = None
    if options.eval_on == "held-out" and not options.eval_corpus and corpus.documents > 1:
        train, held_out = split_documents(corpus, options.held_out, options.seed)
    rules = _rules(options)
    masking = cast(Literal["static", "dynamic"], options.masking)
    data = PretrainingData(
        corpus, corpus.vocab, masking=masking, dupe_factor=options.dupe_factor, documents=train,
        pass_counts=pass_counts, **rules,
    )  # fmt: skip
    evaluation = None
    if held_out is not None and len(held_out):
        evaluation = PretrainingData(corpus, corpus.vocab, masking="static", dupe_factor=1, documents=held_out, **rules)
    return data, evaluation


def _rules(options: PretrainOptions) -> dict[str, Any]:
    """How pairs, or running text, are cut and masked."""
    return {
        "seq_len": options.seq_len, "max_predictions": options.predictions, "masked_lm_prob": options.masked_lm_prob,
        "short_seq_prob": options.short_seq_prob, "whole_word": options.whole_word, "seed": options.seed,
        "pairs": options.pairs,
    }  # fmt: skip


def _evaluation(
    options: PretrainOptions,
    data: PretrainingData | TFRecordData,
    held_out: PretrainingData | TFRecordData | None,
    report: Report,
) -> list[PretrainingBatch]:
    """The batches to evaluate on; says once why there are none, if some were asked for."""
    source = {"held-out": held_out, "train": data, "none": None}[options.eval_on]
    if source is None:
        if options.eval_on == "held-out":
            why = ALL_RECORDS if isinstance(data, TFRecordData) else ONE_DOCUMENT
            report("message", {"text": f"Nothing is held out, so nothing is evaluated: {why}"})
        return []
    return _first(source.in_order(options.batch_size), options.eval_batches)


def _first(batches: Iterable[PretrainingBatch], count: int) -> list[PretrainingBatch]:
    return [batch for _, batch in zip(range(count), batches, strict=False)]


def _unigram(data: PretrainingData, batches: list[PretrainingBatch]) -> float:
    counts = np.zeros(len(data.corpus.vocab), np.int64)
    for number in data.documents.tolist():
        for sentence in data.corpus.sentences_of(number):
            counts += np.bincount(sentence, minlength=len(counts))
    ids = np.concatenate([batch.masked_lm_ids[batch.masked_lm_weights > 0] for batch in batches])
    return unigram_loss(counts, ids)
