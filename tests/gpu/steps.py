"""Training steps of ours, as `bertref pretrain` makes them, on batches made of a seed."""

from dataclasses import replace

from bertref import backends
from bertref.bench import inputs
from bertref.bench.job import Job
from bertref.init import initial_parameters
from bertref.opset import OpSet
from bertref.train.pretraining.setup import recipe_of
from bertref.train.step import initial_state
from bertref.train.stepper import Stepper

RATE = 1e-3


class Run:
    """A run of a job's config, backend and precision, over so many batches of full sequences in turn. `losses` are
    those of the steps that the host has read."""

    def __init__(self, job: Job, batches: int = 1) -> None:
        self.job = replace(job, lengths=(job.seq_len,) * job.batch_size * batches)
        config, numerics = inputs.architecture_of(job)
        backend = backends.get(job.backend)
        options = replace(inputs.options(job), warmup_steps=0, learning_rate=RATE)
        self.ops, self.recipe = OpSet(backend), recipe_of(options, config, numerics, backend)
        self._batches = inputs.pretraining_batches(self.job, config.vocab_size)
        params = initial_parameters(config, numerics, job.seed, heads=("pretraining",))
        state = initial_state(self.ops, self.recipe, params)
        self._stepper = Stepper(self.ops, self.recipe, state, lambda result, *_: self.losses.append(result.loss))
        self.losses: list[float] = []

    def go_on(self, count: int) -> None:
        """Makes so many steps, as a run does."""
        for _ in range(count):
            self._stepper.step(self._batches[self._stepper.state.step % len(self._batches)])
        self._stepper.settle()

    def step(self) -> float:
        """The loss of the next step, which the device has finished."""
        self.go_on(1)
        self.ops.xp.synchronize()
        return self.losses[-1]
