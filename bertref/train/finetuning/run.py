"""Fine-tuning from start to end: set up, resume or begin, train, evaluate, keep the best, write the model.

A run can be killed at any moment: what it has learnt up to its last checkpoint is on the disk, and `resume` goes on
from there bit-equal, because everything random is a function of the seed and the step.

Of several processes (`World`) each sets up the whole run, process 0 first, which alone writes and reports. All share
the evaluations and have what these find; process 0 knows which the run owes.

Source: Devlin et al. 2019, section 4 and appendix A.3; `run_classifier.py`.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from ...checkpoint import describe_model, latest, save_weights
from ...checkpoint import training as states
from ...checkpoint.plan import class_of
from ...checkpoint.text_windows import TextWindows
from ...data.batch import Batch
from ...evaluation import Evaluation, evaluate_part
from ...evaluation.results import metrics_by_name
from ...inference.memory import InMemory
from ...params import count
from ...plumbing.fields import must_be
from ...tasks.texts import TextSettings
from .. import checkpoints
from ..diverged import DivergenceWatch
from ..loop import Pace, Trained, train
from ..parallel.agreement import in_turn, must_have_work, must_want_the_same, of_first, one_state
from ..parallel.world import ALONE, World
from ..report import Report, silent
from ..run_folder import claimed, is_finished
from ..start import differences, recorded_model, starting_params
from ..step import State, initial_state, shared_out, working_ops, working_params
from . import predictions
from .calibration import calibrated, fitted_temperature, is_at_an_end
from .card import Kept, read_results, write_card, write_results
from .history import History, from_json
from .options import FinetuneOptions, default_options, recorded
from .setup import FinetuneBasis, FinetuneSetup, basis_of, set_up
from .teaching import extra_params
from .warm_start import fitted


@dataclass(frozen=True)
class FinetuneResult:
    """How a run ended: `status` "finished", "interrupted" or "already finished".

    step      updates made; `best_step` is that of the model that was kept
    metrics   of the model that was kept, on the part that chose it (and others, as "part/metric")
    curve     (step, loss) of the steps shown
    """

    status: str
    step: int
    out: Path
    metrics: dict[str, float]
    best_step: int | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)


def finetune(
    options: FinetuneOptions,
    report: Report = silent,
    should_stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> FinetuneResult:
    """Fine-tunes `options.model` into `options.out`. `should_stop` is asked after every step; then the run saves and
    returns.

    Raises `InputError` for anything that can't be used, `CheckpointError` for a model that can't be read,
    `BackendUnavailable` for a backend that can't be used here, `TrainingDiverged` when the loss stops making sense,
    `ProcessLost` where another process of `world` has ended.
    """
    must_be(options, FinetuneOptions)
    with ExitStack() as held:
        return _run(options, silent if world.rank else report, should_stop, world, held)


def _run(
    options: FinetuneOptions, report: Report, should_stop: Callable[[], bool], world: World, held: ExitStack
) -> FinetuneResult:
    out = Path(options.out)
    must_want_the_same(world, asdict(options))
    begun = in_turn(world, lambda: _begin(options, world, report, held))
    if begun is None:
        report("message", {"text": f"{out}: this run has finished; nothing is left to learn."})
        predictions.predict(options, out, report, world)
        return _already_finished(out)
    setup, history = begun.setup, begun.history
    state = one_state(world, setup.ops.xp, begun.state)
    if options.shard_optimizer:
        recipe, state = shared_out(setup.recipe, setup.ops.xp, state)
        setup = replace(setup, recipe=recipe)
    task = _Finetuning(setup, out, report, history)
    task.begin(state)
    watch = DivergenceWatch(setup.ops, setup.recipe, float("inf"), lambda: latest(out))
    trained = train(setup.ops, setup.recipe, state, task, task.pace, watch, report, should_stop)
    if not trained.interrupted and not task.pace.saves(trained.state.step):
        task.save(trained.state)
    step, metrics = task.end(trained, options)
    status = "interrupted" if trained.interrupted else "finished"
    report("done", {"status": status, "step": trained.state.step, "out": str(out), "best_step": step, **metrics})
    return FinetuneResult(status, trained.state.step, out, metrics, step, trained.curve)


class _Begun(NamedTuple):
    """What the run works with, the state that it goes on from, and what its evaluations have found."""

    setup: FinetuneSetup
    state: State
    history: History


def _begin(options: FinetuneOptions, world: World, report: Report, held: ExitStack) -> _Begun | None:
    """Everything before the first step; None if the run has finished. The folder is claimed by process 0, which has it
    alone until `held` is closed."""
    out, record, first = Path(options.out), recorded(options), world.rank == 0
    predictions.check(options)
    if options.resume and is_finished(out, record, default_options()):
        return None
    basis = basis_of(options, out)
    needed = {"init": (options.model, basis.model), "teacher": (options.teacher, basis.teacher)}
    models = {role: recorded_model(name, model) for role, (name, model) in needed.items() if name and model}
    record = replace(record, models=models)
    alone = held if first else None
    with claimed(out, record, default_options(), alone, resume=options.resume or not first, report=report):
        setup = set_up(basis, report, world)
        predictions.check_labels(options, basis.kind, setup.labels)
        must_have_work(world, cast(int, setup.basis.options.batch_size))
        state = _start(basis, setup, out, report)
        history = History.open(out, cast(str, setup.basis.options.metric), state.step, setup.digest)
    return _Begun(setup, state, history)


def _already_finished(out: Path) -> FinetuneResult:
    found = read_results(out)
    return FinetuneResult(
        "already finished", found["steps"], out, from_json(found["metrics"]), found["best_step"]
    )


def _start(basis: FinetuneBasis, setup: FinetuneSetup, out: Path, report: Report) -> State:
    """The state of the run's newest checkpoint, or of the model with what it lacks newly made."""
    path = latest(out)
    if path is not None:
        saved = states.load(path)
        state = checkpoints.restored(setup.ops, setup.recipe, saved, path, {**setup.shapes, **setup.extra})
        checkpoints.tell(report, path, saved, setup.recipe.world)
        return state
    model = basis.model
    assert model is not None
    model, told = fitted(model, basis.kind.head, setup.labels)
    if told:
        report("message", {"text": f"{model.path}: {told}"})
    found = differences(model, setup.shapes, setup.recipe.precision.master, basis.info.kind)
    for text in (*model.coverage.notes, *(f"{model.path}: {text}" for text in found)):
        report("message", {"text": text})
    params = starting_params(model, setup.shapes, setup.recipe.seed) | extra_params(setup.extra, setup.recipe.seed)
    return initial_state(setup.ops, setup.recipe, params)


def _overview(setup: FinetuneSetup, state: State) -> dict[str, Any]:
    options = setup.basis.options
    return {
        "task": options.task, "kind": setup.basis.info.kind, "pairs": setup.has_pairs, "metric": options.metric,
        "backend": options.backend, "precision": options.precision, "model": options.model,
        "parameters": count(state.params), "labels": len(setup.labels), "examples": setup.store.counted["examples"],
        "units": len(setup.store), "first_step": state.step, "steps": setup.steps,
        "epochs": setup.steps / setup.turns.steps(setup.order.steps), "batch_size": options.batch_size,
        "max_length": options.max_length, "optimizer": setup.recipe.optimizer.kind,
        "learning_rate": setup.recipe.schedule.peak, "out": options.out,
        **({"processes": world} if (world := setup.recipe.world.size) > 1 else {}),
    }  # fmt: skip


@dataclass
class _Finetuning:
    """What the loop asks for (`loop.Task`)."""

    setup: FinetuneSetup
    out: Path
    report: Report
    history: History
    started: float = field(default_factory=time.perf_counter)
    silent_before: bool = False

    @property
    def pace(self) -> Pace:
        options, setup = self.setup.basis.options, self.setup
        every = options.eval_every or setup.turns.steps(setup.order.steps)
        return Pace(setup.steps, options.log_every, options.save_every, every if setup.evaluated else 0)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def batch(self, step: int) -> Batch:
        setup, before = self.setup, self.setup.turns.words_before(step)
        if setup.words and setup.turns.is_words(step):
            batch = setup.words.batch(before)
        else:
            batch = setup.features.batch(setup.store, setup.order.batch(step - before))
        batch.validate(setup.basis.config)
        return batch

    def describe(self, folder: Path) -> None:
        """Writes everything of a model but its weights."""
        basis, settings = self.setup.basis, self.setup.settings
        through = isinstance(settings, TextSettings) and settings.windows
        describe_model(
            folder, basis.config, basis.numerics, basis.tokenizer, architecture=class_of(basis.heads),
            labels=self.setup.labels, problem_type=basis.kind.problem,
            windows=TextWindows(settings.max_length, settings.stride) if through else None,
        )  # fmt: skip

    def save(self, state: State) -> None:
        xp, options = self.setup.ops.xp, self.setup.basis.options
        path = checkpoints.save(
            xp, state, self.out, self.describe, keep=options.keep, recipe=self.setup.recipe
        )
        self.report("saved", {"step": state.step, "path": str(path)})

    @property
    def world(self) -> World:
        return self.setup.recipe.world

    def begin(self, state: State) -> None:
        """Writes what is known before the first step, and makes up for an evaluation."""

        def write() -> bool:
            self.describe(self.out)
            self.history.write()
            self.report("start", _overview(self.setup, state))
            return self.owes_evaluation(state.step)

        if of_first(self.world, write):
            self.evaluate(state)

    def owes_evaluation(self, step: int) -> bool:
        """Whether a run that was killed had made this step, but not its evaluation."""
        return bool(step) and self.pace.evaluates(step) and not self.history.has(step)

    def evaluate(self, state: State) -> bool:
        """Evaluates, keeps the weights if they are the best so far; whether the run should go on."""
        metrics = self.metrics(state)
        return of_first(self.world, lambda: self._keep(state, metrics))

    def _keep(self, state: State, metrics: dict[str, float]) -> bool:
        if not metrics and not self.silent_before:
            self.silent_before = True
            names = ", ".join(part.name for part in self.setup.evaluated.values())
            self.report("message", {"text": f"Nothing is evaluated: {names} has no labels or answers."})
        if metrics:
            self.history.add(state.step, metrics, lambda: self._weights(state))
            self.report("eval", {"step": state.step, "on": next(iter(self.setup.evaluated)), **metrics})
        patience = self.setup.basis.options.patience
        return patience is None or self.history.since_best < patience

    def metrics(self, state: State) -> dict[str, float]:
        """Of all evaluated parts, see `metrics_by_name`."""
        return metrics_by_name(self.evaluations(state, self.world))

    def evaluations(self, state: State, world: World) -> dict[str, Evaluation]:
        setup = self.setup
        basis, recipe = setup.basis, setup.recipe
        model = InMemory(
            basis.config, basis.numerics, basis.tokenizer, working_params(setup.ops, recipe, state),
            working_ops(setup.ops, recipe).forward_only(), recipe.packed, (basis.kind.head,), setup.labels,
            basis.kind.problem,
        )  # fmt: skip
        metrics = (cast(str, basis.options.metric),)
        return {
            name: evaluate_part(model, basis.info.kind, part, setup.settings, metrics=metrics, team=world)
            for name, part in setup.evaluated.items()
        }

    def _weights(self, state: State) -> dict[str, Any]:
        """The model's parameters on the host: without what only the objective needs."""
        return checkpoints.to_host(self.setup.ops.xp, {name: state.params[name] for name in self.setup.shapes})

    def end(self, trained: Trained, options: FinetuneOptions) -> tuple[int | None, dict[str, float]]:
        """Writes what the run with these options leaves; of the best model the step and the metrics."""
        if trained.interrupted:
            return of_first(self.world, self._interrupted)
        if of_first(self.world, lambda: not self.history.has(trained.state.step)):
            self.evaluate(trained.state)
        found = of_first(self.world, lambda: self._finish(trained.state))
        predictions.predict(options, self.out, self.report, self.world)
        return found

    def _interrupted(self) -> tuple[int | None, dict[str, float]]:
        self.history.seconds += self.seconds
        self.history.write()
        return self.history.best or (None, {})

    def _finish(self, state: State) -> tuple[int | None, dict[str, float]]:
        """Writes the best model, its results and its card; of the model the step and the metrics."""
        best = self.history.best
        weights = self.history.best_weights() if best and best[0] != state.step else self._weights(state)
        kept = Kept(best[0] if best else None, best[1] if best else {})
        if self.setup.basis.options.calibrate:
            weights, kept = self._calibrate(state, weights, kept)
        self.history.seconds += self.seconds
        self.history.write()
        write_results(self.out, self.setup, self.history, state.step, kept)
        write_card(self.out, self.setup, self.history, state.step, kept)
        save_weights(self.out, weights)
        self.history.remove_best()
        return kept.step, kept.metrics

    def _calibrate(self, state: State, weights: dict[str, Any], kept: Kept) -> tuple[dict[str, Any], Kept]:
        """The weights with the temperature that fits the first evaluated part best, and what they are worth then."""
        xp = self.setup.ops.xp

        def evaluations(weights: dict[str, Any]) -> dict[str, Evaluation]:
            params = {name: xp.from_numpy(array) for name, array in weights.items()}
            return self.evaluations(replace(state, params=params), ALONE)  # of weights that only this process has

        answers = next(iter(evaluations(weights).values())).answers
        if answers.targets is None:
            self.report("message", {"text": "Not calibrated: what is evaluated on has no labels."})
            return weights, kept
        temperature = fitted_temperature(answers.logits, answers.targets)
        if is_at_an_end(temperature):
            text = "Not calibrated: no temperature fits what is evaluated on; the logits stay as they are."
            self.report("message", {"text": text})
            return weights, kept
        self.report("message", {"text": f"Calibrated: the logits are divided by {temperature:.4f}."})
        weights = calibrated(weights, temperature)
        return weights, Kept(kept.step, metrics_by_name(evaluations(weights)), temperature)
