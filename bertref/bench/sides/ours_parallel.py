"""bertref in several processes: the steps of `torchrun ... -m bertref pretrain`, on the batches of one process."""

import contextlib
from dataclasses import replace

from ... import backends
from ...heads import parameter_shapes
from ...train.parallel.shards import Shards
from ...train.parallel.sums import anywhere
from ...train.parallel.torchrun import joined
from ...train.pretraining.setup import recipe_of
from ...train.step import layout_of
from .. import inputs
from ..job import Job
from .ours import TrainingSide


class ParallelSide(TrainingSide):
    """This process's share of every step; all of it where the process is alone."""

    def __init__(self, job: Job) -> None:
        config, numerics = inputs.architecture_of(job)
        recipe = recipe_of(inputs.options(job), config, numerics, backends.get(job.backend))
        batches = inputs.pretraining_batches(job, config.vocab_size)
        self._joined = contextlib.ExitStack()  # for as long as this process lives
        world = self._joined.enter_context(joined())
        recipe = replace(recipe, world=world)
        if job.shard_optimizer:
            layout = layout_of(recipe, parameter_shapes(config, inputs.heads_of(job)))
            recipe = replace(recipe, shards=Shards(world, layout))
        super().__init__(job, recipe, batches, batches[0])
        name = f"{world.size} process{'es' * (world.size > 1)}"
        self.about |= {"name": name, "shard_optimizer": job.shard_optimizer}

    def run(self, unit: str) -> None:
        super().run(unit)
        anywhere(self.recipe.world, False)  # what a run's loop asks after every step
