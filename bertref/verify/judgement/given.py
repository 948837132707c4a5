"""What was given: which answers can be judged, and what is said of the others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..emulation.simulate import simulate
from ..emulation.variants import arithmetics
from ..graph.axes import AxesOf, masked_rows, split
from ..records import Arrays, Case, Finding
from .noise_floor import SAMPLES
from .reference import answer_names


@dataclass(frozen=True)
class Given:
    """Answers that can be judged, in their shapes; findings on those that can't; remarks."""

    values: Arrays
    findings: dict[str, Finding]
    notes: tuple[str, ...]


def admit(case: Case, values: Mapping[str, Any]) -> Given:
    """Separates what is known, of the right shape and finite from what isn't."""
    axes, names = AxesOf(case), answer_names(case)
    known = set(names)
    unknown = sorted(name for name in values if name not in known)
    listed = ", ".join(unknown[:5]) + (", ..." if unknown[5:] else "")
    notes = [f"not known, and not looked at: {listed}"] if unknown else []
    good: Arrays = {}
    findings: dict[str, Finding] = {}
    unjudged = _unjudged(case)
    for name in (name for name in names if name in values):
        value = _shaped(case, axes, name, np.asarray(values[name]))
        shape = axes(name).shape
        if value.shape != shape:
            findings[name] = Finding(name, "shape", note=f"shape {value.shape}; {shape} is expected")
        elif name in unjudged or split(name)[0] in unjudged:
            findings[name] = Finding(name, "unjudged", note="depends on a row without any token")
        elif not np.isfinite(axes(name).clean(value)).all():
            findings[name] = _not_finite(name, axes(name).clean(value))
        else:
            good[name] = value
    return Given(good, findings, tuple(notes))


def _unjudged(case: Case) -> frozenset[str]:
    """What depends on a row without tokens, for which finite masks, infinite ones and fused kernels differ."""
    if not masked_rows(case).any():
        return frozenset()
    return frozenset({"loss.nsp", "loss.total", "grad", "update"})


def _shaped(case: Case, axes: AxesOf, name: str, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers as (), MLM values at every position gathered at the predicted ones, and with a last axis of length 1
    where that is missing or too much: a regression's score as (B, 1)."""
    shape = axes(name).shape
    if (*value.shape, 1) == shape or value.shape == (*shape, 1):
        return value.reshape(shape)
    if value.size == 1 and shape == ():
        return value.reshape(())
    B, S = case.batch.input_ids.shape
    if split(name)[1].startswith("mlm.") and value.shape == (B, S, *shape[2:]) and value.shape != shape:
        return np.take_along_axis(value, case.batch.masked_lm_positions[..., None].astype(np.int64), axis=1)
    return value


def _not_finite(name: str, value: npt.NDArray[Any]) -> Finding:
    nan, infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
    words = [f"{number} {what}" for number, what in ((nan, "NaN"), (infinite, "infinite")) if number]
    return Finding(name, "not-finite", note=f"{' and '.join(words)} of {value.size} elements")


def overflow_allowed(case: Case, precision: str, findings: Mapping[str, Finding]) -> dict[str, Finding]:
    """float16 ends at 65504: what overflows in correct implementations, too, is no mistake of the subject's."""
    suspects = [name for name, finding in findings.items() if finding.status == "not-finite"]
    if not suspects or "float16" not in precision.replace("bfloat16", ""):
        return dict(findings)
    axes, beyond = AxesOf(case), set()
    for arithmetic in arithmetics(precision, SAMPLES):
        for name, value in simulate(case, arithmetic, suspects).items():
            if not np.isfinite(axes(name).clean(value)).all():
                beyond.add(name)
    note = "correct implementations overflow float16 here, too"
    return {
        name: replace(finding, status="unjudged", note=note) if name in beyond else finding
        for name, finding in findings.items()
    }
