"""The options that say which case is meant; `golden export` and `verify` share them."""

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from .texts import read_texts

F = TypeVar("F", bound=Callable[..., Any])


def case_options(command: F) -> F:
    """--seed --size --dialect --numerics --edge --optimizer --step --head --variant --labels --choices --config --model
    --file: the arguments of `case_of`."""
    for option in reversed((
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Makes the case again."),
        click.option("--size", type=click.Choice(["tiny", "small", "medium", "base"]), default="tiny",
                     show_default=True, help="Of the model and the batch; base is BERT-Base."),
        click.option("--dialect", type=click.Choice(["google", "huggingface"]),
                     help="Numeric dialect; else the model's or config's, or huggingface."),
        click.option("--numerics", metavar="FIELDS",
                     help="Single fields of the dialect: 'mlm_denominator_epsilon=1e-5,gelu=erf'."),
        click.option("--edge", type=click.Choice(["masked-row", "large-scores", "full-rows", "padded-left"]),
                     default=None,
                     help="A generated case with a row of padding only, with nearly one-hot attention, without "
                     "padding, or with some in front of rows."),
        click.option("--optimizer", metavar="NAME",
                     help="Of the step: google, adamw, lamb, adam-l2, ... or none; else the dialect's."),
        click.option("--step", type=click.IntRange(min=1), help="The number of the update, from 1; else 7."),
        click.option("--head", metavar="NAME",
                     help="What stands on the encoder: sequence_classification, regression, multi_label, encoder, ...; "
                     "else the model's, or pretraining."),
        click.option("--variant", metavar="NAME", help="Another network than BERT: roberta, distilbert, albert, ..."),
        click.option("--labels", type=click.IntRange(min=1), help="How many labels the head has."),
        click.option("--choices", type=click.IntRange(min=2), help="How many choices a question has."),
        click.option("--config", metavar="FILE", help="A config.json: its architecture, with generated weights."),
        click.option("--model", "model_dir", metavar="DIR", help="A model: its weights instead of generated ones."),
        click.option("--file", "file", metavar="FILE",
                     help="The model's texts, one a line, a tab before the second segment; - is standard input."),
    )):  # fmt: skip
        command = option(command)
    return command


def case_of(options: dict[str, Any]) -> Any:
    """The case that these options mean. Raises `InputError` where they contradict each other."""
    from ..verify.cases.make import make_case

    file = options["file"]
    return make_case(
        seed=options["seed"], size=options["size"], dialect=options["dialect"], edge=options["edge"] or "",
        optimizer=options["optimizer"], step=options["step"], numerics=numerics_of(options["numerics"]),
        config=options["config"],
        model=options["model_dir"] or (os.environ.get("BERTREF_MODEL") if file else None),
        texts=tuple(read_texts((), file)) if file else (), head=options["head"], labels=options["labels"],
        choices=options["choices"], variant=options["variant"],
    )  # fmt: skip


def numerics_of(text: str | None) -> dict[str, Any]:
    """Fields of a dialect from "name=value,name=value"; of names in a value, with + between them. Raises `InputError`
    for an unknown name and for what is no number where one is needed."""
    from ..config import Numerics
    from ..errors import InputError

    kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(Numerics)}
    found: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in (text or "").split(","))):
        name, equals, value = item.partition("=")
        if name not in kinds or not equals:
            raise InputError(f"--numerics: {item!r}; write name=value, the name one of {', '.join(kinds)}")
        try:
            found[name] = tuple(filter(None, value.split("+"))) if kinds[name] is tuple else kinds[name](value)
        except ValueError:
            raise InputError(f"--numerics: {name} is {value!r}; a number is expected") from None
    return found
