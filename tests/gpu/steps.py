"""Training steps of ours, as `bertref pretrain` makes them, on batches made of a seed."""

from dataclasses import replace

from bertref import backends
from bertref.bench import inputs
from bertref.bench.job import Job
from bertref.init import initial_parameters
from bertref.opset import OpSet
from bertref.train.pretraining.setup import recipe_of
from bertref.train.step import initial_state, train_step

RATE = 1e-3


class Run:
    """A run of a job's config, backend and precision, over so many batches of full sequences in turn."""

    def __init__(self, job: Job, batches: int = 1) -> None:
        self.job = replace(job, lengths=(job.seq_len,) * job.batch_size * batches)
        config, numerics = inputs.architecture_of(job)
        backend = backends.get(job.backend)
        options = replace(inputs.options(job), warmup_steps=0, learning_rate=RATE)
        self.ops, self.recipe = OpSet(backend), recipe_of(options, config, numerics, backend)
        self._batches = inputs.pretraining_batches(self.job, config.vocab_size)
        params = initial_parameters(config, numerics, job.seed, heads=("pretraining",))
        self._state = initial_state(self.ops, self.recipe, params)
        self._made = 0

    def step(self) -> float:
        """The loss of the next step, which the device has finished."""
        batch = self._batches[self._made % len(self._batches)]
        self._state, result = train_step(self.ops, self.recipe, self._state, batch, donate=True)
        self._made += 1
        self.ops.xp.synchronize()
        return result.loss
