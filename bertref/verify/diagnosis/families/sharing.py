"""Parameters that several rows have: layers that share theirs, and the table of words that the decoder has, too."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.gradients import Gradients
from ...graph.replay import Updater
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Possibility, all_rows, of_op
from ..scene import BACK, Back, Scene
from .clipping import WORDS, length, scaled_by
from .steps import KINDS, Way, step_by, updater, usual
from .tools import layer_of, scaled, with_others

Values = Any
WHERE = {
    "torch": "the loop over layers, each of which calls the module of its group", "JAX": "the scan over layers",
    "NumPy": "the loop over layers", "C": "the loop over layers",
}  # fmt: skip
ADDED = {
    "torch": "a module that is called several times: autograd adds up what each call gives",
    "JAX": "the scan's way back",
    "NumPy": "gradients[name] += ...", "C": "the loop that adds to the gradient",
}  # fmt: skip


def _is_shared(scene: Scene) -> bool:
    """Whether layers share parameters."""
    return scene.case.config.stored_layers < scene.case.config.num_hidden_layers


def _in_layers(*ops: str) -> Callable[[TensorRow], bool]:
    return lambda row: row.op in ops and row.name.removeprefix(f"{BACK} ").startswith("layer.")


# -- whose parameters --------------------------------------------------------------------------------------------------


def _owners(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """Which layer's parameters each layer may have: a choice's value is one of them for all, or "in turn"."""
    yield Possibility("those of group i % groups for layer i", "in turn")
    for stored in range(scene.case.config.stored_layers):
        yield Possibility(f"the parameters that are stored for layer {stored}", stored)


def _of_layer(scene: Scene, row: TensorRow, choice: Any) -> Rewritten | None:
    config, i = scene.case.config, layer_of(row)
    if i is None or not _is_shared(scene):
        return None
    stored = i % config.stored_layers if choice == "in turn" else choice
    right = config.stored_layer(i)
    if stored == right:
        return None
    return with_others(scene, row, [p.name.replace(f"layer.{right}.", f"layer.{stored}.") for p in row.parameters])


# -- gradients ---------------------------------------------------------------------------------------------------------


def _layers(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """The layers of which nothing arrives: one, or all but one."""
    for i in range(scene.case.config.num_hidden_layers):
        yield Possibility(f"lacks what it gets in layer {i}", (i, True))
        yield Possibility(f"is only what it gets in layer {i}", (i, False))


def _times(scene: Scene, row: TensorRow, factor: Callable[[str], float]) -> Back | None:
    """The gradients of shared parameters, each times a factor for its name."""
    parts = scene.parameters(row)
    factors = {name: factor(name) for name in parts if scene.users(name) > 1}
    return None if not factors else Back((), parts | {
        name: scaled(parts[name], value) for name, value in factors.items()
    })  # fmt: skip


def _lost(scene: Scene, row: TensorRow, choice: tuple[int, bool]) -> Back | None:
    i, lost = choice
    here = layer_of(scene.rows[scene.made_by(row)]) == i
    return _times(scene, row, lambda _: 0.0) if here is lost else None


def _averaged(scene: Scene, row: TensorRow, _: Any) -> Back | None:
    return _times(scene, row, lambda name: 1 / scene.users(name))


# -- steps -------------------------------------------------------------------------------------------------------------


def _in_each_layer(scene: Scene, way: Way, _: Any) -> Way | None:
    if not _is_shared(scene):
        return None
    return replace(way, times=lambda name: scene.users(name) if ".encoder.layer." in name else 1)


def _apart(scene: Scene, row: TensorRow, _: Any) -> Updater | None:
    """The table of words is updated by the gradient that it gets as a table alone; the decoder's copy is clipped with
    the others."""
    case, graph = scene.case.optimizer, scene.replay.graph
    of_table = [one for one in graph.users.get(WORDS, ()) if one.op == "lookup"]
    tied = len(graph.users.get(WORDS, ())) > len(of_table)
    if case is None or case.optimizer.kind not in KINDS or not tied:
        return None

    def path(name: str) -> Values:
        part = graph.parameter_of(scene.rows[name], WORDS)
        return part.compute(*map(scene.replay.input, part.inputs))

    def step(grads: Gradients) -> Callable[[str], Values]:
        words = sum(path(one.name) for one in of_table)
        copy, others = grads[WORDS] - words, grads.replaced(WORDS, words)
        clip = scaled_by(lambda grads: float(np.hypot(length(grads), np.linalg.norm(copy))))
        return updater(scene, replace(usual(case), clip=clip))(others)

    return step


HYPOTHESES = (
    Hypothesis(
        "sharing.other_layer", _in_layers("dense", "layer_norm"), _of_layer,
        lambda told: f"layers have others' parameters ({told.in_layers}): {told.choice}",
        WHERE, "layer i of N belongs to group int(i / (N / groups))", choices=_owners, together=all_rows,
    ),
    Hypothesis(
        "sharing.gradient", _in_layers(f"dense {BACK}", f"layer_norm {BACK}"), _lost,
        lambda told: f"the gradient of parameters that layers share {told.choice}; it is the sum over all layers",
        ADDED, "add up the gradients of all layers", choices=_layers,
    ),
    Hypothesis(
        "sharing.averaged", _in_layers(f"dense {BACK}", f"layer_norm {BACK}"), _averaged,
        lambda told: "the gradient of parameters that layers share is a mean over the layers; it is their sum",
        ADDED, "add up the gradients of all layers",
    ),
    Hypothesis(
        "sharing.stepped_in_each_layer", of_op("optimizer_step"), step_by(_in_each_layer),
        lambda told: "parameters that layers share are updated once for each layer",
        {"torch": "parameters collected layer by layer", "JAX": "the loop over layers", "NumPy": "the loop over layers",
         "C": "the loop over layers"},
        "list a shared parameter once",
    ),
    Hypothesis(
        "optimizer.untied", of_op("optimizer_step"), _apart,
        lambda told: "the word embeddings and the decoder's matrix, which are tied, are updated apart, each by its own "
                     "gradient",
        {"torch": "model.tie_weights() after anything that replaces one of the two", "JAX": "two leaves of the tree",
         "NumPy": "two arrays", "C": "two arrays"},
        "keep one table, and add both gradients",
    ),
)  # fmt: skip
