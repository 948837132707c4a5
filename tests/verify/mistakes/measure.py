"""Verifies a model with a mistake in it, and says whether the mistake was found where it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.families import HYPOTHESES
from bertref.verify.diagnosis.scene import Scene
from bertref.verify.graph.axes import split
from bertref.verify.judgement.judge import judged
from bertref.verify.records import Answers, Case, Report
from bertref.verify.subjects import torch_model
from bertref.verify.subjects.transformers import TransformersSubject

from .mistake import Mistake

SEED = 7001
"""Of the case; the limit was calibrated on others."""
KNOWN = frozenset(hypothesis.id for hypothesis in HYPOTHESES)
"""The causes that can be named."""


@dataclass(frozen=True)
class Outcome:
    """What the verifier said of one mistake in one dtype."""

    mistake: Mistake
    dtype: str
    report: Report
    expected: str

    @property
    def detected(self) -> bool:
        return self.report.verdict == "diverges"

    @property
    def cause(self) -> str:
        """What the diagnosis is worth: right if all causes that it names are the mistake's, WRONG if one is another;
        else its outcome."""
        found = self.report.diagnosis
        if found is None or found.outcome != "named":
            return "none" if found is None else found.outcome
        return "right" if {cause.id for cause in found.causes} <= set(self.mistake.causes) else "WRONG"

    @property
    def covered(self) -> bool:
        """Whether there is a hypothesis that says what is wrong."""
        return not KNOWN.isdisjoint(self.mistake.causes)

    @property
    def right(self) -> bool:
        return self.report.first == self.expected


def subject(*mistakes: Mistake, dtype: str = "float32") -> TransformersSubject:
    """Hugging Face's model with these mistakes, of which at most one is in the optimiser's step."""

    def with_mistakes(case: Case) -> Any:
        model = torch_model.stock_for(case)
        for mistake in mistakes:
            if mistake.patch is not None:
                mistake.patch(model)
        return model

    steps = [mistake.step for mistake in mistakes if mistake.step is not None]
    return TransformersSubject(with_mistakes, dtype=dtype, step=steps[0] if steps else None)


def measure(
    mistake: Mistake, dtype: str = "float32", *, seed: int = SEED, size: str = "tiny", diagnosis: bool = False,
    without_own: bool = False,
) -> Outcome:  # fmt: skip
    """One mistake in one dtype, and its cause, if `diagnosis` is asked for; `without_own`, as if the causes that are
    right to name weren't known."""
    case = generate(seed, size=size, **mistake.case)
    without = mistake.causes if without_own else ()
    report = check(subject(mistake, dtype=dtype), case, diagnosis=diagnosis or without_own, without=without)
    return Outcome(mistake, dtype, report, mistake.expected(case.config.num_hidden_layers))


BLOCKS = ("embeddings.norm", "layer.*.output", "pooled", "*.logits", "loss.*")
"""What a program may write that knows nothing of probes: the outputs of its parts."""


def measure_blocks(mistake: Mistake, *, seed: int = SEED) -> Outcome:
    """A mistake in the forward pass in a dump of the outputs of parts: nothing inside was recorded, no other case can
    be asked."""
    case = generate(seed, **mistake.case)
    given = subject(mistake).answer(case).values
    values = {name: value for name, value in given.items() if any(fnmatchcase(name, one) for one in BLOCKS)}
    values = {name: value for name, value in values.items() if not split(name)[0]}
    report, judgement = judged(case, Answers(values), "float32")
    found = diagnose(report, Scene(judgement)) if report.verdict == "diverges" else None
    return Outcome(mistake, "float32", replace(report, diagnosis=found), str(report.first))


def measure_all(mistakes: Iterable[Mistake], dtypes: Iterable[str] = (), **options: Any) -> Iterator[Outcome]:
    """Every mistake in every dtype in which it has to be found, or in those given."""
    wanted = tuple(dtypes)
    for mistake in mistakes:
        for dtype in wanted or mistake.dtypes:
            yield measure(mistake, dtype, **options)
