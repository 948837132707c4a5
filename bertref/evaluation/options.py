"""What an evaluation is asked to do."""

from dataclasses import dataclass

from ..data.tasks.catalogue import known_name
from ..errors import InputError
from ..plumbing.fields import check_types
from ..text.encoding import check_truncate
from .applicable import given_names, shown

WITH_MODEL = (
    "max_length", "truncate", "windows", "stride", "max_query_length", "max_answer_length", "max_examples", "vectors",
    "backend", "dtype", "kernels",
)  # fmt: skip
"""Options that say nothing about answers in a file."""


@dataclass(frozen=True)
class EvaluateOptions:
    """All options of `bertref evaluate`; the command line's help explains each.

    `task` is a kind of task or the name of a data set. The answers come from `model` or from the file `predictions`.
    `parts` are names of the data's parts, (): those for development, else for test; a file `data` is itself the part.
    `truncate` None is "head", unless the model's folder records windows: then longer texts are seen through these, as
    long as nothing else is said of lengths. `bootstrap` resamples give intervals that hold the share `confidence` of
    them; 0: none. `worst` mistakes are kept; `vectors` of so many examples are projected onto a plane, 0: of none.
    """

    task: str
    data: str
    model: str | None = None
    predictions: str | None = None
    null_odds: str | None = None
    out: str | None = None
    parts: tuple[str, ...] = ()
    text: str | None = None
    pair: str | None = None
    label: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = ()
    delimiter: str | None = None
    header: bool = True
    max_length: int | None = None
    truncate: str | None = None
    windows: bool = False
    stride: int | None = None
    max_query_length: int = 64
    max_answer_length: int = 30
    null_threshold: float = 0.0
    max_examples: int | None = None
    seed: int = 12345
    backend: str = "numpy"
    dtype: str = "float32"
    kernels: bool = True
    bootstrap: int = 0
    confidence: float = 0.95
    worst: int = 0
    vectors: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.parts, str):
            object.__setattr__(self, "parts", (self.parts,))
        check_types(self)
        object.__setattr__(self, "task", known_name(self.task))
        if self.truncate is not None:
            check_truncate(self.truncate)
        if self.model is not None and self.predictions is not None:
            raise InputError("give --model or --predictions, not both: one of them has the answers that are judged")
        if self.model is None and self.predictions is None:
            raise InputError(
                "give --model (or set BERTREF_MODEL), whose answers are judged, or --predictions, answers in a file"
            )
        for name in ("max_length", "stride", "max_query_length", "max_answer_length", "max_examples"):
            self._at_least(name, 1)
        for name in ("bootstrap", "worst", "vectors"):
            self._at_least(name, 0)
        if self.vectors == 1:
            raise InputError("--vectors is 1; it must be at least 2, or 0 for none")
        if not 0 < self.confidence < 1:
            raise InputError(f"--confidence is {self.confidence}; it must be a share between 0 and 1")
        if self.predictions is not None:
            for name in WITH_MODEL:
                if name in given_names(self):
                    option = "plot-vectors" if name == "vectors" else shown(name)
                    raise InputError(f"--{option} goes with --model, not with --predictions")
        elif self.null_odds is not None:
            raise InputError("--null-odds goes with --predictions, not with --model")

    def _at_least(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if value is not None and value < least:
            raise InputError(f"--{shown(name)} is {value}; it must be at least {least}")
