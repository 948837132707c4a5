"""What a user means: a subject by name or as an object, a case that the subject can compute, a part of the answers."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..checkpoint import load_model
from ..errors import InputError
from ..heads import parameter_shapes
from .cases.case import from_model, generate, generate_for, rich_parameters
from .cases.make import chosen_case, numbers
from .cases.targets import HEADS, check_head, objective_of
from .graph.axes import split
from .graph.steps import Graph
from .judgement.bracket import bracketed
from .judgement.reference import answer_names
from .records import WRONG, Case, Report
from .subject import BringsWeights, Subject, Weights
from .subjects import parse
from .subjects.dump import DumpSubject
from .subjects.python import wrap

GROUPS = {"forward": "", "backward": "grad", "update": "update"}
"""A part of the computation -> what the names of its answers begin with."""


def as_subject(subject: Any) -> Subject:
    """A `Subject` itself, or one for its name (`subjects.parse`), a torch module of Hugging Face's build, or any
    function or object of the protocol in `subjects.python`. Raises `InputError` for anything else."""
    if isinstance(subject, str):
        return parse(subject)
    is_subject = hasattr(subject, "answer") and hasattr(subject, "live")
    if is_subject or callable(subject) or callable(getattr(subject, "forward", None)):
        return wrap(subject, None)
    kind = type(subject).__name__
    raise InputError(
        f"verify: {kind} is no subject; give a name such as 'numpy', a torch model, a function of a case, or an object "
        "with a method forward(case)"
    )


def case_for(subject: Subject, seed: int = 0, *, size: str = "tiny", **options: Any) -> Case:
    """A case that the subject can compute: the one that a dump answers; one of the subject's own architecture and
    weights, if it brings them; else a generated one (`case.generate` with these options). For its own model
    optimizer (None for no step), step and numerics may be chosen.

    Raises `InputError` for options that a subject's own model leaves no choice about.
    """
    if isinstance(subject, DumpSubject):
        found = subject.case()
        if found is not None:
            return found
        return generate(seed if subject.seed is None else subject.seed, size=size, **options)
    brought = subject.weights() if isinstance(subject, BringsWeights) else None
    if brought is None:
        preferred = {} if "head" in options else getattr(subject, "prefers", {})
        return generate(seed, size=size, **{**preferred, **options})
    chosen = {name: options.pop(name) for name in ("optimizer", "step", "numerics") if name in options}
    choices, head = options.pop("choices", None), options.pop("head", None)
    if options:
        raise InputError(f"{subject.name}: brings its own model, so that {', '.join(sorted(options))} can't be chosen")
    if head is not None:
        brought = _with_head(brought, head, subject.name)
    check_head(brought.objective or objective_of(brought.heads) or "pretraining", None, choices)
    choices = choices or brought.choices
    case = generate_for(
        brought.config, brought.numerics, seed, params=brought.params, heads=brought.heads,
        num_labels=brought.num_labels, objective=brought.objective, choices=choices,
        tied=brought.tied, token_types=brought.token_types, embedding=brought.embedding, layers=brought.layers,
        **numbers(brought.config, size),
    )  # fmt: skip
    if chosen.get("optimizer", "") is None:
        chosen["optimizer"] = "none"
    return chosen_case(case, seed, **chosen) if chosen else case


def _with_head(brought: Weights, head: str, name: str) -> Weights:
    """The model asked about another of its objectives, or about what is inside it alone."""
    if HEADS.get(head) == brought.heads:
        return replace(brought, objective=head, embedding=(), layers={})
    if head not in ("encoder", "pooler"):
        check_head(head)
        raise InputError(f"{name}: its model has the heads {', '.join(brought.heads)}; it can't be asked about {head}")
    known, params = parameter_shapes(brought.config, HEADS[head]), brought.params
    held = None if params is None else {key: value for key, value in params.items() if key in known}
    return replace(brought, heads=HEADS[head], objective=head, params=held, tied=True, embedding=(), layers={})


def case_of_texts(
    subject: Subject, model: str | Path | None, texts: Sequence[str], seed: int = 0, *, choices: int | None = None
) -> Case:
    """A case of the weights that a subject brings, and of texts, read with the vocabulary in the folder `model`.
    `choices` texts that follow each other are the choices of a question; None: as many as the subject takes, or all.

    Raises `InputError` for a subject that brings no weights, for a folder without a vocabulary, and for texts that are
    no whole questions.
    """
    brought = subject.weights() if isinstance(subject, BringsWeights) else None
    if brought is None or brought.params is None or model is None:
        raise InputError(f"{subject.name}: texts need its model's folder, with the vocabulary; name it with --model")
    tokenizer = load_model(model).tokenizer
    if tokenizer is None:
        raise InputError(f"{model}: has no vocabulary to read the texts with; leave out the texts")
    options: dict[str, Any] = {"heads": brought.heads, "num_labels": brought.num_labels}
    check_head(objective_of(brought.heads, brought.num_labels) or "pretraining", None, choices)
    params = rich_parameters(brought.config, seed, **options) | brought.params
    return from_model(
        params, brought.config, brought.numerics, tokenizer, texts, seed, optimizer=False, name=Path(model).name,
        choices=choices or brought.choices, embedding=brought.embedding, layers=brought.layers, **options,
    )  # fmt: skip


def chosen(case: Case, patterns: Sequence[str] = (), only: str | None = None) -> tuple[str, ...] | None:
    """The answers to ask for: those that a pattern matches (`layer.*.probs`, `grad:loss.total`) and that `only`, a
    part of the computation, is judged by. None: all.

    Gradients are judged by the values that they are made from, too, and updates by the gradients; so these are asked
    for with them. Raises `InputError` for a pattern that matches nothing and an unknown part.
    """
    names = answer_names(case)
    if only is not None and only not in GROUPS:
        raise InputError(f"verify: no part {only!r}; there are {', '.join(GROUPS)}")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, 1, 0.0)[0]
            raise InputError(f"verify: no answer is called {pattern!r}; is it {near!r}?")
    if not patterns and only is None:
        return None
    needed = {None: set(GROUPS.values()), "forward": {""}, "backward": {"", "grad"}, "update": {"grad", "update"}}[only]
    return tuple(
        name
        for name in names
        if split(name)[0] in needed and (not patterns or any(fnmatchcase(name, pattern) for pattern in patterns))
    )


def part(report: Report, only: str, case: Case) -> Report:
    """The report on one part of the computation alone, of an answer to `case`."""
    findings = tuple(f for f in report.findings if split(f.name)[0] == GROUPS[only])
    if report.verdict == "could not run" or all(finding.status == "missing" for finding in findings):
        note = f"the subject gave nothing of the {only} part"
        return replace(report, verdict="could not run", first=None, last_right=None, findings=findings,
                       notes=(*report.notes, note))  # fmt: skip
    wrong = [finding.name for finding in findings if finding.status in WRONG]
    verdict, first = ("diverges", wrong[0]) if wrong else ("right", None)
    whole = bracketed(replace(report, verdict=verdict), Graph(case), first, report.findings)

    def inside(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if split(name)[0] == GROUPS[only])

    return replace(
        whole, findings=findings, alone=inside(whole.alone), in_blocks=inside(whole.in_blocks),
        not_judged=inside(whole.not_judged),
    )  # fmt: skip
