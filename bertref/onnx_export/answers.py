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

import numpy as np

from .. import heads as heads_
from .. import model
from ..arrays import Array
from ..errors import InputError
from ..layers import Settings
from ..layout import Inputs, Layout
from ..opset import OpSet
from ..probes import Probe, Recorder, padded, probe_names

CLASSIFIERS = ("sequence_classification", "multiple_choice", "token_classification")
"""Heads that share the parameters `classifier` and the output `logits`."""


def answers(
    ops: OpSet,
    params: dict[str, Array],
    x: Inputs,
    settings: Settings,
    heads: Sequence[str],
    probes: Collection[str] = (),
) -> dict[str, Array]:
    """Padded inputs -> outputs and probes by name. `heads` are names of `bertref.params.HEADS`.

    Raises `InputError` for a probe that these heads do not have and for two classifiers.
    """
    rivals = [head for head in heads if head in CLASSIFIERS]
    if len(rivals) > 1:
        raise InputError(f"heads {', '.join(rivals)} would answer under the one name logits; export them apart")
    xp, layout = ops.xp, x.layout
    recorder = Recorder(probes)
    probe = Probe(recorder, xp, layout)
    encoded, _ = model.forward(ops, params, x, settings, probe=probe)
    found = {"last_hidden_state": padded(xp, encoded.sequence, layout)}
    if encoded.pooled is not None:
        found["pooler_output"] = encoded.pooled
    for head in heads:
        if head in ("pretraining", "masked_lm"):
            every = xp.arange(layout.batch * layout.length)
            logits = heads_.masked_lm_logits(ops, params, encoded.sequence, every, settings, probe)
            found["prediction_logits"] = padded(xp, logits, layout)
        if head in ("pretraining", "next_sentence"):
            found["seq_relationship_logits"], _ = heads_.next_sentence_forward(ops, params, encoded.pooled, probe)
        if head in ("sequence_classification", "multiple_choice"):
            found["logits"], _ = heads_.sequence_classification_forward(ops, params, encoded.pooled, probe=probe)
        if head == "token_classification":
            logits, _ = heads_.token_classification_forward(ops, params, encoded.sequence, probe=probe)
            found["logits"] = padded(xp, logits, layout)
        if head == "question_answering":
            both, _ = heads_.question_answering_forward(ops, params, encoded.sequence, probe)
            for column, name in enumerate(("start_logits", "end_logits")):
                one = xp.take(both, xp.from_numpy(np.array([column])), axis=1)
                found[name] = xp.reshape(one, (layout.batch, layout.length))
    _require(probes, recorder, settings)
    return found | {name: _at_positions(ops, name, recorder.values[name], layout) for name in probes}


def _at_positions(ops: OpSet, name: str, value: Array, layout: Layout) -> Array:
    """A probe as it is given out: those of the masked language model are rows of tokens here."""
    return padded(ops.xp, value, layout) if name.startswith("mlm.") else value


def _require(probes: Collection[str], recorder: Recorder, settings: Settings) -> None:
    missing = [name for name in probes if name not in recorder.values]
    if missing:
        known = [name for name in probe_names(settings.config.num_hidden_layers) if not name.startswith("loss.")]
        has = "this model's heads don't have it" if missing[0] in known else f"there are {', '.join(known)}"
        raise InputError(f"probe {missing[0]!r} can't be recorded; {has}")
