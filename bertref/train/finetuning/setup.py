"""From options to everything that a run needs: model, data, features, recipe."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from ... import backends
from ...backends.backend import Backend
from ...checkpoint import SavedModel, latest, load_model
from ...checkpoint.load import describe
from ...checkpoint.sources import open_source
from ...config import BertConfig, Numerics
from ...data.tasks.catalogue import DataSetInfo, data_set_info
from ...data.tasks.examples import DataSet, Part, TextExample
from ...data.tasks.opening import open_data_set, reading_of
from ...data.tasks.places import with_path
from ...data.tasks.splits import sampled, split
from ...errors import InputError
from ...evaluation import check_metrics
from ...evaluation.settings import for_parts
from ...evaluation.token_metrics import strays, strays_note
from ...heads import parameter_shapes
from ...layers import Settings
from ...objectives import MixtureObjective
from ...opset import OpSet
from ...optim import Optimizer, Schedule
from ...precision import Precision
from ...tasks.store import FeatureStore, cache_folder, digest_of, open_or_make
from ...text import Tokenizer
from ..parallel.shards import must_take_pieces
from ..parallel.world import ALONE, World
from ..report import Report
from ..step import TrainingRecipe
from .applicable import check_applicable
from .kinds import KINDS, Features, Kind, may_be_unlabelled
from .masked_words import MaskedWords, Turns, check_tied, open_masked_words, turns_of
from .options import FinetuneOptions
from .order import Order
from .scales import frozen_blocks, rate_scales
from .teaching import distilled, loaded_teacher, taught_features

DRAWN = 0
"""The seed by which examples are held out or sampled: the same in all runs, so that seeds are compared on one set."""
HELD_OUT = 0.1
"""The share of the training part that is held out where there is no development part."""


@dataclass(frozen=True)
class FinetuneBasis:
    """What the options and the models decide, without the data and without a folder. `model` is None where the run has
    a checkpoint of its own."""

    options: FinetuneOptions
    info: DataSetInfo
    kind: Kind
    backend: Backend
    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer
    model: SavedModel | None
    teacher: SavedModel | None

    @property
    def heads(self) -> tuple[str, ...]:
        """The task's head, and that of masked words where they are learnt beside it."""
        return (self.kind.head, *(("masked_lm",) if self.options.masked_words else ()))


def basis_of(options: FinetuneOptions, out: Path) -> FinetuneBasis:
    """Raises `BackendUnavailable` where the backend can't be used here, what `load_model` raises, and `InputError` for
    a task that does not exist or options that don't fit it or the model."""
    backend = backends.get(backends.local(options.backend))
    Precision.preset(options.precision).validate(backend)
    OpSet(backend).drawing(options.rng)
    info = data_set_info(options.task)
    check_applicable(options, info.kind)
    checkpoint = latest(out) if options.resume and out.is_dir() else None
    if checkpoint is None:
        model = load_model(options.model)
        config, numerics, tokenizer = model.config, model.numerics, model.tokenizer
    else:
        described = describe(open_source(checkpoint), checkpoint)
        model, config, numerics = None, described.config, described.numerics
        tokenizer = Tokenizer.from_pretrained(checkpoint)
    if model is not None and options.masked_words:
        check_tied(model.params, options.model)
    config = _with_dropout(config, options)
    options = resolved(options, info, config)
    check_metrics(info.kind, (options.metric,) if options.metric else ())
    teacher = load_model(options.teacher) if options.teacher else None
    return FinetuneBasis(options, info, KINDS[info.kind], backend, config, numerics, tokenizer, model, teacher)


def resolved(options: FinetuneOptions, info: DataSetInfo, config: BertConfig) -> FinetuneOptions:
    """The options with what they leave out: the data set's habits, else the paper's."""
    limit = config.max_length
    if options.max_length is not None and options.max_length > limit:
        raise InputError(f"--max-length {options.max_length} is longer than the model's {limit} positions")
    return replace(
        options,
        max_length=options.max_length or min(info.max_length, limit),
        epochs=None if options.steps else options.epochs or info.epochs,
        batch_size=options.batch_size or info.batch_size,
        learning_rate=info.learning_rate if options.learning_rate is None else options.learning_rate,
    )


def _with_dropout(config: BertConfig, options: FinetuneOptions) -> BertConfig:
    if options.dropout is not None:
        p = options.dropout
        config = replace(config, hidden_dropout_prob=p, attention_probs_dropout_prob=p)
    if options.classifier_dropout is not None:
        config = replace(config, classifier_dropout=options.classifier_dropout)
    return config


@dataclass(frozen=True)
class FinetuneSetup:
    """What the loop works with. `evaluated` are the parts that it is evaluated on, by name; `settings` say how their
    examples become sequences. Where masked words are learnt beside the task, `words` gives their batches, in `turns`.
    """

    basis: FinetuneBasis
    ops: OpSet
    recipe: TrainingRecipe
    labels: tuple[str, ...]
    features: Features
    store: FeatureStore
    order: Order
    turns: Turns
    words: MaskedWords | None
    steps: int
    settings: Any
    evaluated: dict[str, Part]
    data: DataSet
    digest: str
    """Of what the features are made of."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters of the model that is trained."""
        return model_shapes(self.basis, self.labels)

    @property
    def has_pairs(self) -> bool:
        """Whether the examples are pairs of texts, as the first one is."""
        first = next(self.data.parts["train"].read(), None)
        return isinstance(first, TextExample) and first.pair is not None

    @property
    def extra(self) -> dict[str, tuple[int, ...]]:
        """The parameters that only the objective has: kept with the run, and not saved with the model."""
        return dict(self.recipe.objective.extra_parameters(self.basis.config))


def model_shapes(basis: FinetuneBasis, labels: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter of the encoder with its heads."""
    return parameter_shapes(basis.config, basis.heads, num_labels=max(len(labels), 1))


def set_up(basis: FinetuneBasis, report: Report, world: World = ALONE) -> FinetuneSetup:
    """Reads the data, or finds its features in the cache."""
    options, kind = basis.options, basis.kind

    def say(text: str) -> None:
        report("message", {"text": text})

    data = open_parts(options, say)
    whole, train, evaluated = _parts(options, data, report)
    labels = data.labels or kind.labels(options, whole)
    if basis.info.kind == "token-classification":
        _tell_strays(whole, labels, say)
    metric = options.metric or kind.metric(basis.info, labels)
    check_metrics(basis.info.kind, (metric,), labels)
    for part in evaluated.values():
        kind.check_labels(part, labels)
    options = replace(options, metric=metric)
    basis = replace(basis, options=options)
    settings = for_parts(kind.settings(options), options, (whole, *evaluated.values()))
    features = kind.features(options, labels, settings, train)
    store, digest = _features(basis, features, train, labels, settings, report)
    if not len(store):
        raise InputError(f"{train.name}: holds no example to learn from")
    order, turns = Order(len(store), cast(int, options.batch_size), options.seed), turns_of(options)
    words = open_masked_words(options, basis.tokenizer)
    steps = options.steps or turns.steps(max(1, round(cast(float, options.epochs) * order.steps)))
    recipe, ops = recipe_of(basis, labels, train, steps), OpSet(basis.backend, kernels=options.kernels)
    if basis.teacher:
        say(f"Asking the teacher {options.teacher} about every example, once.")
        teacher = loaded_teacher(
            basis.teacher, options, kind, basis.info.kind, labels, basis.tokenizer, ops, packed=recipe.packed
        )
        features = taught_features(teacher, kind, features, store, digest, train, say)
        recipe = replace(recipe, objective=distilled(recipe.objective, teacher, options))
    if words:
        recipe = replace(recipe, objective=MixtureObjective(recipe.objective))
        digest = f"{digest}-{words.digest}"
    if options.answer_windows:
        settings = replace(settings, windows=True)
    if options.shard_optimizer:
        must_take_pieces(recipe.optimizer)
    recipe = replace(recipe, world=world)
    return FinetuneSetup(
        basis, ops, recipe, labels, features, store, order, turns, words, steps, settings, evaluated, data, digest
    )


def open_parts(options: FinetuneOptions, note: Callable[[str], None]) -> DataSet:
    """The data set that the options name."""
    reading = reading_of(data_set_info(options.task), options, note)
    reading = replace(reading, unlabelled=may_be_unlabelled(options))
    dev, test = (Path(name) if name else None for name in (options.dev, options.test))
    return open_data_set(options.task, Path(options.data), dev=dev, test=test, reading=reading)


def _parts(options: FinetuneOptions, data: DataSet, report: Report) -> tuple[Part, Part, dict[str, Part]]:
    """The whole training part, which has the labels; what of it is learnt from; and the parts to evaluate on."""
    if "train" not in data.parts:
        raise InputError(f"{options.data}: has no training part; there are {', '.join(data.parts)}")
    whole = train = data.parts["train"]
    evaluated = {name: part for name, part in data.parts.items() if name.startswith("dev")}
    share = options.held_out if options.held_out is not None else (0.0 if evaluated else HELD_OUT)
    if share:
        by_group = options.by_group or options.group is not None
        train, held_out = split(train, share, seed=DRAWN, by_group=by_group)
        evaluated = {"held-out": held_out}
        report("message", {"text": _held_out_sentence(held_out, whole, by_group)})
    if options.max_examples:
        train = sampled(train, options.max_examples, DRAWN)
    if options.max_dev_examples:
        evaluated = {name: sampled(p, options.max_dev_examples, DRAWN) for name, p in evaluated.items()}
    return whole, train, evaluated


def _tell_strays(part: Part, labels: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Says which labels keep entities from being judged, and where each first stands."""
    found = strays(labels)
    if not found:
        return
    places: dict[str, str] = {}
    for example in part.read():
        for number, label in enumerate(example.labels or (), 1):
            if label in found:
                places.setdefault(label, f"{example.place}, word {number}")
    say(strays_note(found, places))


def _held_out_sentence(held_out: Part, whole: Part, by_group: bool) -> str:
    """How many examples are held out, and which share that is: whole groups are seldom the share that was asked for."""
    count, total = (sum(1 for _ in part.read()) for part in (held_out, whole))
    verb, groups = "is" if count == 1 else "are", ", whole groups," if by_group else ""
    share = f"{count} of {total} examples {verb} held out ({count / total:.0%})"
    return f"{share}{groups} to evaluate on (--held-out, --dev)."


def _features(
    basis: FinetuneBasis, features: Features, part: Part, labels: tuple[str, ...], settings: Any, report: Report
) -> tuple[FeatureStore, str]:
    """The features of a part, from the cache or newly made; and the digest of what they are made of."""
    tokenizer = basis.tokenizer
    digest = digest_of(
        part.files, dict(part.settings), basis.info.kind, labels, asdict(settings), tokenizer.vocab.sha256,
        tokenizer.options,
    )  # fmt: skip
    counted: dict[str, int] = {}

    def told() -> Iterator[Any]:
        for number, unit in enumerate(features.units(part.read(), tokenizer, counted), 1):
            if number % 1000 == 0:
                report("prepare", {"examples": counted.get("examples", number)})
            yield unit

    with with_path(part):
        store = open_or_make(
            cache_folder() / digest, told(), features.columns, features.width, counted,
            padding=basis.config.pad_token_id, note=lambda text: report("message", {"text": text}),
        )  # fmt: skip
    for what, number in store.counted.items():
        if number and what != "examples":
            report("message", {"text": f"{part.name}: {number} of {store.counted['examples']} examples {what}."})
    return store, digest


def recipe_of(basis: FinetuneBasis, labels: tuple[str, ...], train: Part, steps: int) -> TrainingRecipe:
    """What a step of the run does."""
    options, config = basis.options, basis.config
    # of the optimiser; the network's own stays the model's
    arithmetic = Numerics.preset(options.dialect) if options.dialect else basis.numerics
    kind = {"kind": options.optimizer or ("google" if options.dialect == "google" else "adamw")}
    schedule = options.schedule or ("google" if options.dialect == "google" else "huggingface")
    packed = options.layout == "packed" or (options.layout == "auto" and not basis.backend.static_shapes)
    return TrainingRecipe(
        objective=basis.kind.objective(options, labels, train),
        settings=Settings(
            config, basis.numerics, options.recompute, frozen_blocks(options.freeze, config.num_hidden_layers)
        ),
        optimizer=Optimizer.from_numerics(arithmetic, weight_decay=options.weight_decay, **kind),
        schedule=Schedule(
            kind=cast(Any, schedule), peak=cast(float, options.learning_rate), steps=steps,
            warmup_steps=round(options.warmup * steps),
        ),
        precision=Precision.preset(options.precision),
        clip_norm=options.clip_norm or None,
        chunks=options.accumulate,
        packed=packed,
        seed=options.seed,
        rng=options.rng,
        rate_scales=rate_scales(
            model_shapes(basis, labels), config.num_hidden_layers, options.layer_decay, options.freeze
        ),
    )  # fmt: skip
