"""`predict --explain`: its options, and explanations beside the answers."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import InputError, TextError
from . import render

if TYPE_CHECKING:
    from ..api import Model
    from ..inference.explain import AttentionMap, Explanation
    from ..text.encoding import Truncate

F = TypeVar("F", bound=Callable[..., Any])
ATTENTION = "attention"
METHODS = ("integrated", "gradient", ATTENTION)
WORDS = ("sequence-classification", "fill-mask")
TASKS = {"integrated": WORDS, "gradient": WORDS, ATTENTION: (*WORDS, "next-sentence", "token-classification")}
"""Method -> the tasks whose answers it explains."""

Answer = tuple[dict[str, Any], Callable[[], None]]
"""As in `predict`: what --json prints, and what draws it."""


def _method(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """One of `METHODS`; says what is wrong where the option has taken a text for it."""
    if value is not None and value not in METHODS:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(METHODS)}; texts stand before --explain")
    return value


def explain_options(command: F) -> F:
    """--explain and what goes with it; the command receives one `Explaining` as `explaining`."""
    for option in reversed((
        click.option("--explain", "method", metavar=f"[{'|'.join(METHODS)}]", is_flag=False, flag_value=METHODS[0],
                     callback=_method, help="Show which words moved the answer: integrated gradients (also without a "
                     "name), gradient x input, or an attention map."),
        click.option("--attention", metavar="LAYER[:HEAD]", help="Which map --explain attention shows, from 0; without "
                     "HEAD the mean of the layer's heads.  [default: -1, the last]"),
        click.option("--label", metavar="NAME", help="The label that --explain explains.  [default: the best]"),
        click.option("--html", metavar="FILE", help="Write the explanations as a page that needs nothing else."),
        click.option("--plot", metavar="FILE", help="Draw the explanations into a picture (needs bertref[plot])."),
    )):  # fmt: skip
        command = option(command)
    return command


@dataclass
class Explaining:
    """What is to be explained, and what has been. `method` None: nothing."""

    method: str | None = None
    layer: int = -1
    head: int | None = None
    label: str | None = None
    html: str | None = None
    plot: str | None = None
    made: "list[Explanation | AttentionMap]" = field(default_factory=list)

    @classmethod
    def taken(cls, options: dict[str, Any]) -> "Explaining":
        """Takes its options out of a command's. Raises `InputError` where they contradict each other, and where a page
        or a picture can't be written."""
        method, attention, label, html, plot = (
            options.pop(name) for name in ("method", "attention", "label", "html", "plot")
        )
        if attention is not None and method not in (None, ATTENTION):
            raise InputError(f"--attention goes with --explain attention, not with --explain {method}")
        method = method if attention is None else ATTENTION
        for name, value in (("label", label), ("html", html), ("plot", plot)):
            if value is not None and (method is None or (name == "label" and method == ATTENTION)):
                raise InputError(f"--{name} goes with --explain; leave it out, or add --explain integrated")
        if html is not None:
            _check_page(html)
        if plot is not None:
            from .plot_evaluation import check

            check(plot)
        return cls(method, *_layer_and_head(attention or "-1"), label, html, plot)

    def check(self, task: str) -> None:
        """Raises `InputError` if answers of the task can't be explained."""
        if self.method is not None and task not in TASKS[self.method]:
            raise InputError(f"--explain {self.method} goes with {', '.join(TASKS[self.method])}, not with {task}")
        if self.label is not None and task != WORDS[0]:
            raise InputError(f"--label goes with {WORDS[0]}, not with {task}")

    def beside(
        self, model: "Model", task: str, answers: Iterator[Answer], truncate: "Truncate | None"
    ) -> Iterator[Answer]:
        """The answers, each with its explanations. Raises `TextError` for a text whose answer can't be explained."""
        for number, (values, draw) in enumerate(answers):
            if self.method is None:
                yield values, draw
                continue
            try:
                with render.working("explaining"):
                    found = self._explained(model, task, values, truncate)
            except TextError as error:
                raise TextError({number: error.reasons[0]}) from None
            self.made += found if self.html or self.plot else []
            yield values | {"explanations": [_as_json(each) for each in found]}, partial(_draw_all, draw, found)

    def _explained(
        self, model: "Model", task: str, values: dict[str, Any], truncate: "Truncate | None"
    ) -> "list[Explanation | AttentionMap]":
        text, pair = values["text"], values.get("pair")
        if self.method == ATTENTION:
            return [model.attention(text, pair, layer=self.layer, head=self.head, truncate=truncate)]
        assert self.method is not None
        return [
            model.explain(
                text, pair, method=self.method, task=task, label=self.label, mask=number, truncate=truncate
            )
            for number in range(len(values.get("masks", [None])))
        ]

    def finish(self) -> None:
        """Writes the page and the picture, if they were asked for and there is something in them."""
        if self.html is not None and self.made:
            from .explanation_page import write

            write(self.made, Path(self.html))
        if self.plot is not None and self.made:
            from .plot_explanation import draw

            draw(self.made, Path(self.plot))


def _draw_all(draw: Callable[[], None], found: "list[Explanation | AttentionMap]") -> None:
    from .render_explanation import explanation

    draw()
    for each in found:
        explanation(each)


def _as_json(found: "Explanation | AttentionMap") -> dict[str, Any]:
    from ..inference.explain import Explanation

    values = asdict(found)
    return values | {"gap": found.gap, "complete": found.complete} if isinstance(found, Explanation) else values


def _layer_and_head(given: str) -> tuple[int, int | None]:
    """ "3" -> (3, None), "-1:0" -> (-1, 0)."""
    layer, colon, head = given.partition(":")
    try:
        return int(layer), int(head) if colon else None
    except ValueError:
        raise InputError(f"--attention {given!r}: give LAYER or LAYER:HEAD as numbers, such as 0 or -1:3") from None


def _check_page(path: str) -> None:
    """Raises `InputError` where no page can be written."""
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name the file")
    if not Path(path).resolve().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist")
