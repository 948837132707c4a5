"""Another case for the same subject: of another seed, and of other sizes where these are free."""

from dataclasses import replace

from ...topology import SENTENCE_DENSE
from ..records import Case
from .case import generate, generate_for, optimizer_case

SEEDS_ON = 500_009
"""How far the other case's seed is from the first one's: none of `--cases` in between."""
STEPS_ON = 4
"""How far its optimiser's step is from the first one's: a number that depends on the step is none of the other's."""


def another(case: Case, i: int = 0, *, step: bool = False) -> Case:
    """The i-th of the cases that whoever answered this one can answer: generated with other weights and sizes, if this
    one was generated; else of the same model, with other rows. It has an optimiser step only if `step` is asked for,
    and this one has."""
    origin, (B, S) = case.origin, case.batch.input_ids.shape
    seed = int(origin.get("seed", 0)) + SEEDS_ON + i
    if origin.get("made") == "generated" and not origin.get("reduced"):
        options = {**origin["options"], **_sizes(case)}
        asked = {"optimizer": None} if not step or case.optimizer is None else {"step": case.optimizer.step + STEPS_ON}
        return generate(seed, size=origin["size"], **{**options, **asked})
    other = generate_for(
        case.config, case.numerics, seed, params=case.params, rows=B + 1, length=max(S - 1, 3),
        predictions=case.batch.masked_lm_positions.shape[1] or 1, optimizer=False, heads=case.heads,
        num_labels=case.num_labels, objective=case.objective, choices=case.choices, tied=case.tied,
        token_types=bool(case.batch.token_type_ids.any()), embedding=case.embedding,
        layers={name: array for name, array in case.targets.items() if name.startswith(SENTENCE_DENSE)},
    )  # fmt: skip
    if not step or case.optimizer is None:
        return other
    made = optimizer_case(case.params, case.numerics, seed, case.optimizer.optimizer.kind,
                          step=case.optimizer.step + STEPS_ON)
    return replace(other, optimizer=made)


def _sizes(case: Case) -> dict[str, int]:
    """Every number another one, but for the layers, by whose names two cases are compared."""
    c, (B, S) = case.config, case.batch.input_ids.shape
    found = {
        "S": S + 4, "L": c.num_hidden_layers, "A": c.num_attention_heads,
        "H": c.num_attention_heads * (c.head_size + 2), "I": c.intermediate_size + 8, "V": c.vocab_size + 10,
    }  # fmt: skip
    if "E" in case.origin["options"]:  # as wide as the layers, or not
        found["E"] = found["H"] if c.embedding_size == c.hidden_size else case.origin["options"]["E"] + 2
    return found if case.objective == "multiple_choice" else {**found, "B": B + 1}


