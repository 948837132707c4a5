"""What an exported model answers: the outputs of its heads by the names that Hugging Face's models give them.

The same function runs on a recording namespace, which makes the file, and on a computing one, which tells what the
file has to answer.

    last_hidden_state        (B, S, H)       always
    pooler_output            (B, H)          where there is a pooler
    prediction_logits        (B, S, V)       pretraining, masked_lm: at every position
    seq_relationship_logits  (B, 2)          pretraining, next_sentence; class 1 = a random sentence
    logits                   (B, labels)     sequence_classification; multiple_choice (labels = 1: one row a choice)
                             (B, S, labels)  token_classification
    start_logits, end_logits (B, S)          question_answering

and the probes that were asked for, those of the masked language model (`mlm.`) at every position as well.
"""

from collections.abc import Collection, Sequence

from .. import model
from ..arrays import Array
from ..errors import InputError
from ..heads import Head, expanded
from ..layers import Settings
from ..layout import Inputs, Layout
from ..opset import OpSet
from ..probes import Probe, Recorder, padded
from ..topology import probe_names


def answers(
    ops: OpSet,
    params: dict[str, Array],
    x: Inputs,
    settings: Settings,
    heads: Sequence[str],
    probes: Collection[str] = (),
) -> dict[str, Array]:
    """Padded inputs -> outputs and probes by name. `heads` are names of `bertref.heads.HEADS` and
    `COMBINATIONS`.

    Raises `InputError` for a probe that these heads do not have and for two heads that answer under one name.
    """
    asked = expanded(heads)
    _require_names_of_their_own(asked)
    xp, layout = ops.xp, x.layout
    recorder = Recorder(probes)
    probe = Probe(recorder, xp, layout)
    encoded, _ = model.forward(ops, params, x, settings, probe=probe)
    found = {"last_hidden_state": padded(xp, encoded.sequence, layout)}
    if encoded.pooled is not None:
        found["pooler_output"] = encoded.pooled
    for head in asked:
        read = encoded.pooled if head.pooler else encoded.sequence
        found |= head.answer(ops, params, read, settings, layout, probe)
    _require(probes, recorder, settings)
    return found | {name: _at_positions(ops, name, recorder.values[name], layout) for name in probes}


def _require_names_of_their_own(heads: Sequence[Head]) -> None:
    for name in {name for head in heads for name in head.outputs}:
        rivals = [head.name for head in heads if name in head.outputs]
        if len(rivals) > 1:
            raise InputError(f"heads {', '.join(rivals)} would answer under the one name {name}; export them apart")


def _at_positions(ops: OpSet, name: str, value: Array, layout: Layout) -> Array:
    """A probe as it is given out: those of the masked language model are rows of tokens here."""
    return padded(ops.xp, value, layout) if name.startswith("mlm.") else value


def _require(probes: Collection[str], recorder: Recorder, settings: Settings) -> None:
    missing = [name for name in probes if name not in recorder.values]
    if missing:
        known = probe_names(settings.config, objective=None)
        has = "this model's heads don't have it" if missing[0] in known else f"there are {', '.join(known)}"
        raise InputError(f"probe {missing[0]!r} can't be recorded; {has}")
