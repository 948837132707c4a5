"""Pre-training from start to end: batches, steps, evaluation, checkpoints, resuming.

A run can be killed at any moment: what it has learnt up to its last checkpoint is on the disk, and `resume` goes on
from there bit-equal, because everything random is a function of the seed and the step.

Source: `run_pretraining.py`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import describe_model, latest, save_weights
from ..checkpoint import training as states
from ..checkpoint.folder import WEIGHTS
from ..data.batch import Batch, validate
from ..data.prefetch import Prefetch
from ..errors import CheckpointError, InputError
from ..heads import parameter_shapes
from ..init import initial_parameters
from ..params import count
from ..precision import loss_scale_from_dict
from ..probes import Recorder
from .diverged import Watch
from .pretraining.evaluate import batch_metrics, evaluate
from .pretraining.options import RUN_FILE, PretrainOptions, Run
from .pretraining.setup import Setup, basis_of, set_up
from .report import Report, silent
from .step import State, initial_state, train_step, working_ops, working_params


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
    options: PretrainOptions, report: Report = silent, should_stop: Callable[[], bool] = lambda: False
) -> Result:
    """Pre-trains a model into `options.out`. `should_stop` is asked after every step; then the run saves and returns.

    Raises `InputError` for anything that can't be used, `BackendUnavailable` for a backend that can't be used here,
    `TrainingDiverged` when the loss stops making sense.
    """
    out = Path(options.out)
    if _already_finished(options, out):
        report("message", {"text": f"{out}: this run has finished; nothing is left to do."})
        return Result("already finished", options.steps, out, {}, None, [])
    basis = basis_of(options)  # first: a run that is impossible here has no use for a folder
    made = _claim(options, out, report)
    try:
        setup = set_up(options, basis, out, report)
    except InputError:
        if made:
            _give_back(out)
        raise
    describe_model(out, setup.config, setup.numerics, setup.tokenizer)
    state = _restore(setup, out, report) or initial_state(
        setup.ops, setup.recipe, initial_parameters(setup.config, setup.numerics, options.seed)
    )
    return _run(options, setup, state, out, report, should_stop)


def _already_finished(options: PretrainOptions, out: Path) -> bool:
    if not (options.resume and (out / WEIGHTS).is_file()):
        return False
    run = Run.read(out)
    if run is None:
        raise InputError(f"{out}: holds a model that no pre-training run made; choose another --out")
    run.must_equal(Run.of(options), out)
    return True


def _claim(options: PretrainOptions, out: Path, report: Report) -> bool:
    """Makes `out` this run's folder; whether it was not so before. Raises `InputError` if it holds something that is
    not to be resumed."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out names a folder")
    holds_something = out.is_dir() and any(out.iterdir())
    if holds_something and not options.resume:
        raise InputError(f"{out}: is not empty; add --resume to go on with the run in it, or choose another --out")
    run = Run.read(out)
    if run is not None:
        run.must_equal(Run.of(options), out)
        return False
    if holds_something:
        raise InputError(f"{out}: holds no pre-training run to resume; choose another --out")
    if options.resume:
        report("message", {"text": f"{out}: nothing to resume; starting from the beginning."})
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: can't be made ({error.strerror}); choose another --out") from None
    Run.of(options).write(out)
    return True


def _give_back(out: Path) -> None:
    """Removes the folder of a run that could not be set up, unless something was made of the text already."""
    if [path.name for path in out.iterdir()] == [RUN_FILE]:
        (out / RUN_FILE).unlink()
        out.rmdir()


def _restore(setup: Setup, out: Path, report: Report) -> State | None:
    """The state of the newest checkpoint; None if there is none yet."""
    path = latest(out)
    if path is None:
        return None
    saved = states.load(path, setup.recipe.optimizer.rule.moments)
    xp = setup.ops.xp
    expected = parameter_shapes(setup.config)
    found = {name: array.shape for name, array in saved.params.items()}
    if found != expected:
        raise CheckpointError(
            f"{path}: holds the parameters of another config; resume with the run's own, or another --out"
        )
    report("message", {"text": f"Resuming after step {saved.step} from {path}."})
    return State(
        {name: xp.from_numpy(saved.params[name]) for name in expected},
        {name: xp.from_numpy(array) for name, array in saved.moments.items()},
        saved.step,
        loss_scale_from_dict(saved.loss_scale) if saved.loss_scale else None,
    )


def _run(
    options: PretrainOptions, setup: Setup, state: State, out: Path, report: Report, should_stop: Callable[[], bool]
) -> Result:
    ops, recipe = setup.ops, setup.recipe
    report("start", _overview(options, setup, state))
    watch = Watch(ops, recipe, len(setup.tokenizer.vocab), lambda: latest(out))
    curve: list[tuple[int, float]] = []
    metrics: dict[str, float] = {}
    clock = _Clock()
    status = "finished"
    with Prefetch(_batches(options, setup, state.step)) as batches:
        for batch in batches:
            log = state.step == 0 or (state.step + 1) % options.log_every == 0 or state.step + 1 == options.steps
            recorder = Recorder({"mlm.logits", "nsp.logits"}) if log and recipe.chunks == 1 else None
            before = state
            state, result = train_step(ops, recipe, before, batch, recorder, donate=True)
            watch.look(result, before, batch)
            clock.add(int(np.sum(batch.attention_mask)))
            if log:
                curve.append((result.step, result.loss))
                values = {**result.__dict__, "learning_rate": result.rate, "steps": options.steps, **clock.values()}
                if recorder:
                    values |= batch_metrics(ops, recorder.values, batch).values()
                report("step", values)
            if should_stop():
                status = "interrupted"
                break
            if state.step % options.save_every == 0:
                _save(options, setup, state, out, report)
            if options.eval_every and state.step % options.eval_every == 0 and state.step < options.steps:
                metrics = _evaluate(options, setup, state, report)
    if status == "interrupted" or state.step % options.save_every:
        _save(options, setup, state, out, report)
    if status == "finished":
        metrics = _evaluate(options, setup, state, report)
        save_weights(out, _host(setup, state.params))
    report("done", {"status": status, "step": state.step, "out": str(out), "unigram_loss": setup.unigram, **metrics})
    return Result(status, state.step, out, metrics, setup.unigram, curve)


def _batches(options: PretrainOptions, setup: Setup, first: int) -> Iterator[Batch]:
    for step in range(first, options.steps):
        batch = setup.data.batch(step, options.batch_size)
        validate(batch, setup.config)
        yield batch


def _save(options: PretrainOptions, setup: Setup, state: State, out: Path, report: Report) -> None:
    scale = state.loss_scale.to_dict() if state.loss_scale else None
    saved = states.TrainingState(_host(setup, state.params), _host(setup, state.moments), state.step, scale)
    path = states.save(
        out, saved, lambda folder: describe_model(folder, setup.config, setup.numerics, setup.tokenizer),
        keep=options.keep,
    )  # fmt: skip
    report("saved", {"step": state.step, "path": str(path)})


def _host(setup: Setup, arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: setup.ops.xp.to_numpy(array) for name, array in arrays.items()}


def _evaluate(options: PretrainOptions, setup: Setup, state: State, report: Report) -> dict[str, float]:
    if not setup.evaluation:
        return {}
    ops, params = working_ops(setup.ops, setup.recipe), working_params(setup.ops, setup.recipe, state)
    found = evaluate(ops, params, setup.evaluation, setup.recipe.settings, packed=setup.recipe.packed).values()
    report("eval", {"step": state.step, "on": options.eval_on, **found, "unigram_loss": setup.unigram})
    return found


def _overview(options: PretrainOptions, setup: Setup, state: State) -> dict[str, Any]:
    return {
        "backend": options.backend, "precision": options.precision, "config": options.config,
        "parameters": count(state.params), "vocabulary": len(setup.tokenizer.vocab), **setup.size,
        "first_step": state.step, "steps": options.steps,
        "batch_size": options.batch_size, "seq_len": options.seq_len, "optimizer": setup.recipe.optimizer.kind,
        "learning_rate": setup.recipe.schedule.peak, "out": options.out,
    }  # fmt: skip


class _Clock:
    """Seconds and tokens since the start of the loop."""

    def __init__(self) -> None:
        self._start, self._tokens = time.perf_counter(), 0

    def add(self, tokens: int) -> None:
        self._tokens += tokens

    def values(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._start
        return {"tokens": self._tokens, "seconds": seconds, "tokens_per_second": self._tokens / max(seconds, 1e-9)}
