"""Figures on the host: those of a step that is shown, and those of an evaluation."""

import itertools
from collections.abc import Iterable, Mapping

from ..arrays import Array, Namespace
from ..data.batch import Batch
from ..layers import Settings
from ..metrics import WeightedMean
from ..objectives import Figure, Objective, losses_and_gradients
from ..opset import OpSet
from .parallel.world import ALONE, World


def fetched(xp: Namespace, figures: Mapping[str, Figure]) -> dict[str, WeightedMean]:
    """Figures from the device, as means."""
    return {
        name: WeightedMean(float(xp.to_numpy(total)), float(xp.to_numpy(weight)))
        for name, (total, weight) in figures.items()
    }


def evaluate(
    ops: OpSet,
    objective: Objective,
    params: dict[str, Array],
    batches: Iterable[Batch],
    settings: Settings,
    *,
    packed: bool = False,
    world: World = ALONE,
) -> dict[str, float]:
    """The figures over all batches, with dropout off; `params` in the dtype to compute in. {} without a batch.

    Process r of N evaluates every Nth batch from r on; what they find is added in the order of the batches.
    """
    own = []
    for batch in itertools.islice(batches, world.rank, None, world.size):
        outcome, _ = losses_and_gradients(
            objective, ops, params, batch, settings, packed=packed, figures=True, gradients=False
        )
        own.append(fetched(ops.xp, outcome.figures))
    sums: dict[str, WeightedMean] = {}
    for found in itertools.chain.from_iterable(itertools.zip_longest(*world.collect(own))):
        if found is not None:
            sums = {name: sums[name] + mean for name, mean in found.items()} if sums else found
    return {name: mean.value for name, mean in sums.items()}
