"""The options that say which case is meant; `golden export` and `verify` share them."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .texts import read_texts

F = TypeVar("F", bound=Callable[..., Any])


def case_options(command: F) -> F:
    """--seed --size --dialect --edge --optimizer --head --labels --choices --config --model --file: the arguments of
    `case_of`."""
    for option in reversed((
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Makes the case again."),
        click.option("--size", type=click.Choice(["tiny", "small", "medium", "base"]), default="tiny",
                     show_default=True, help="Of the model and the batch; base is BERT-Base."),
        click.option("--dialect", type=click.Choice(["google", "huggingface"]),
                     help="Numeric dialect; else the model's or config's, or huggingface."),
        click.option("--edge", type=click.Choice(["masked-row", "large-scores", "full-rows"]), default=None,
                     help="A generated case with a row of padding, nearly one-hot attention, or no padding."),
        click.option("--optimizer", metavar="NAME",
                     help="Of the step: google, adamw, lamb or none; else the dialect's."),
        click.option("--head", metavar="NAME",
                     help="What stands on the encoder: sequence_classification, regression, multi_label, encoder, ...; "
                     "else the model's, or pretraining."),
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
        optimizer=options["optimizer"], config=options["config"],
        model=options["model_dir"] or (os.environ.get("BERTREF_MODEL") if file else None),
        texts=tuple(read_texts((), file)) if file else (), head=options["head"], labels=options["labels"],
        choices=options["choices"],
    )  # fmt: skip
