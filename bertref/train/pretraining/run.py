"""Pre-training from start to end: set up, resume or begin, train, evaluate, write the model.

A run can be killed at any moment: what it has learnt up to its last checkpoint is on the disk, and `resume` goes on
from there bit-equal, because everything random is a function of the seed and the step.

Of several processes (`World`) each sets up the whole run, process 0 first, which alone writes and reports.

Source: `run_pretraining.py`.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ...checkpoint import describe_model, latest, save_weights
from ...checkpoint import training as states
from ...checkpoint.plan import class_of
from ...data.pretraining.batch import PretrainingBatch
from ...heads import DECODER, parameter_shapes
from ...init import initial_parameters
from ...params import count
from ...plumbing.fields import must_be
from .. import checkpoints
from ..diverged import DivergenceWatch
from ..figures import evaluate
from ..loop import Pace, train
from ..parallel.agreement import in_turn, must_have_work, must_want_the_same, one_state
from ..parallel.world import ALONE, World
from ..report import Report, silent
from ..run_folder import claimed, is_finished
from ..start import recorded_model
from ..step import State, initial_state, shared_out, working_ops, working_params
from .options import DEFAULT_CONFIG, PretrainOptions, default_options, recorded
from .origin import first_state, open_origin, preset_name
from .setup import Basis, Setup, basis_of, set_up
from .student import guessing


@dataclass(frozen=True)
class Result:
    """How a run ended: `status` "finished", "interrupted" or "already finished"; the curve holds (step, loss)."""

    status: str
    step: int
    out: Path
    metrics: dict[str, float]
    unigram_loss: float | None
    curve: list[tuple[int, float]]


def pretrain(
    options: PretrainOptions,
    report: Report = silent,
    should_stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
) -> Result:
    """Pre-trains a model into `options.out`. `should_stop` is asked after every step; then the run saves and returns.

    Raises `InputError` for anything that can't be used, `BackendUnavailable` for a backend that can't be used here,
    `TrainingDiverged` when the loss stops making sense, `ProcessLost` where another process of `world` has ended.
    """
    must_be(options, PretrainOptions)
    with ExitStack() as held:
        return _run(options, silent if world.rank else report, should_stop, world, held)


def _run(
    options: PretrainOptions, report: Report, should_stop: Callable[[], bool], world: World, held: ExitStack
) -> Result:
    out = Path(options.out)
    must_want_the_same(world, asdict(options))
    must_have_work(world, options.batch_size)
    begun = in_turn(world, lambda: _begin(options, world, report, held))
    if begun is None:
        report("message", {"text": f"{out}: this run has finished; nothing is left to do."})
        return Result("already finished", options.steps, out, {}, None, [])
    setup, state = begun.setup, one_state(world, begun.setup.ops.xp, begun.state)
    if options.shard_optimizer:
        recipe, state = shared_out(setup.recipe, setup.ops.xp, state)
        setup = replace(setup, recipe=recipe)
    task = _Pretraining(begun.options, setup, out, report, tied=DECODER not in state.params)
    if world.rank == 0:
        task.describe(out)
    report("start", _overview(begun.options, setup, state))
    pace = Pace(options.steps, options.log_every, options.save_every, options.eval_every)
    watch = DivergenceWatch(setup.ops, setup.recipe, _guessing(setup, begun.options), lambda: latest(out))
    trained = train(setup.ops, setup.recipe, state, task, pace, watch, report, should_stop)
    if not trained.interrupted:
        if not pace.saves(trained.state.step):
            task.save(trained.state)
        task.evaluate(trained.state)
        if world.rank == 0:
            save_weights(out, checkpoints.to_host(setup.ops.xp, trained.state.params))
    status, step = "interrupted" if trained.interrupted else "finished", trained.state.step
    mask = setup.tokenizer.vocab.notation.mask
    report("done", {"status": status, "step": step, "out": str(out), "mask": mask, "unigram_loss": setup.unigram,
                    **task.metrics})  # fmt: skip
    return Result(status, step, out, task.metrics, setup.unigram, trained.curve)


class _Begun(NamedTuple):
    """The options with the config's name, what the run works with, and the state that it goes on from."""

    options: PretrainOptions
    setup: Setup
    state: State


def _begin(options: PretrainOptions, world: World, report: Report, held: ExitStack) -> _Begun | None:
    """Everything before the first step; None if the run has finished. The folder is claimed by process 0, which has it
    alone until `held` is closed."""
    out, record, first = Path(options.out), recorded(options), world.rank == 0
    if options.resume and is_finished(out, record, default_options()):
        return None
    origin = open_origin(options, out)
    basis = basis_of(options, origin)  # a run that is impossible here has no use for a folder
    needed = {"init": (options.init, origin and origin.model), "teacher": (options.teacher, basis.teacher)}
    models = {role: recorded_model(name, model) for role, (name, model) in needed.items() if name and model}
    record = replace(record, models=models)
    options = replace(options, config=options.config or (preset_name(origin) if origin else DEFAULT_CONFIG))
    alone = held if first else None
    with claimed(out, record, default_options(), alone, resume=options.resume or not first, report=report):
        setup, state = _start(options, basis, out, report, world)
    return _Begun(options, setup, state)


def _start(
    options: PretrainOptions, basis: Basis, out: Path, report: Report, world: World
) -> tuple[Setup, State]:
    """What the run works with, and the state of its newest checkpoint, of the model of `--init`, or of a new model."""
    path = latest(out)
    saved = states.load(path) if path else None
    setup = set_up(options, basis, out, report, saved.pass_counts if saved else (), world)
    if path is not None and saved is not None:
        shapes = parameter_shapes(setup.config, setup.heads, tied=DECODER not in saved.params)
        state = checkpoints.restored(setup.ops, setup.recipe, saved, path, shapes)
        checkpoints.tell(report, path, saved, world)
    elif basis.origin is not None and basis.origin.model is not None:
        state = first_state(setup.ops, setup.recipe, basis.origin.model, options, report)
    else:
        params = initial_parameters(setup.config, setup.numerics, options.seed, heads=setup.heads)
        state = initial_state(setup.ops, setup.recipe, params)
    return setup, state


def _guessing(setup: Setup, options: PretrainOptions) -> float:
    """The loss of guessing evenly among the words and, if that is asked, whether the second segment is random."""
    words = math.log(len(setup.tokenizer.vocab))
    if options.teacher:
        return guessing(options, words)
    return words + (math.log(2) if "next_sentence" in setup.heads else 0.0)


def _overview(options: PretrainOptions, setup: Setup, state: State) -> dict[str, Any]:
    return {
        "backend": options.backend, "precision": options.precision, "config": options.config,
        "objective": options.objective,
        "parameters": count(state.params), "vocabulary": len(setup.tokenizer.vocab), **setup.size,
        "first_step": state.step, "steps": options.steps,
        "batch_size": options.batch_size, "seq_len": options.seq_len, "optimizer": setup.recipe.optimizer.kind,
        "learning_rate": setup.recipe.schedule.peak, "out": options.out,
        **({"processes": world} if (world := setup.recipe.world.size) > 1 else {}),
    }  # fmt: skip


@dataclass
class _Pretraining:
    """What the loop asks for (`loop.Task`). `tied` says whether the decoder is the table of word embeddings; `metrics`
    are those of the last evaluation."""

    options: PretrainOptions
    setup: Setup
    out: Path
    report: Report
    tied: bool
    metrics: dict[str, float] = field(default_factory=dict)

    def batch(self, step: int) -> PretrainingBatch:
        batch = self.setup.data.batch(step, self.options.batch_size)
        batch.validate(self.setup.config)
        return batch

    def describe(self, folder: Path) -> None:
        """Writes everything of a model but its weights."""
        setup = self.setup
        describe_model(
            folder, setup.config, setup.numerics, setup.tokenizer, architecture=class_of(setup.heads), tied=self.tied
        )

    def save(self, state: State) -> None:
        path = checkpoints.save(
            self.setup.ops.xp, state, self.out, self.describe, keep=self.options.keep,
            pass_counts=self.setup.data.pass_counts, recipe=self.setup.recipe,
        )  # fmt: skip
        self.report("saved", {"step": state.step, "path": str(path)})

    def evaluate(self, state: State) -> bool:
        """Nothing, if there is nothing to evaluate on."""
        setup = self.setup
        if not setup.evaluation:
            return True
        recipe, params = setup.recipe, working_params(setup.ops, setup.recipe, state)
        self.metrics = evaluate(
            working_ops(setup.ops, recipe), setup.asked, params, setup.evaluation, recipe.settings,
            packed=recipe.packed, world=recipe.world,
        )  # fmt: skip
        found = {"step": state.step, "on": self.options.eval_on, **self.metrics, "unigram_loss": setup.unigram}
        self.report("eval", found)
        return True
