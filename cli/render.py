"""Everything that bertref draws. Results go to standard output, progress and messages to standard error."""

import contextlib
import math
import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = " ..::++##"
CURVE_WIDTH, CURVE_HEIGHT = 64, 8
LONGEST = 600
"""Letters of a text that is classified, above its labels; of longer ones both ends are shown."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def message(text: str) -> None:
    """A line for the person, on standard error."""
    err.print(text, markup=False)


def drawn(chars: str, instead: str, console: Console = out) -> str:
    """Characters to draw with, or what stands for them where the console's encoding lacks one."""
    try:
        chars.encode(console.encoding)
    except UnicodeEncodeError:
        return instead
    return chars


@contextlib.contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner while something of unknown length runs; nothing when the output is no terminal. What it gives changes
    the text."""
    if err.is_terminal:
        with err.status(escape(text), spinner="dots" if drawn("⠋", "", err) else "line") as status:
            yield lambda now: status.update(escape(now))
    else:
        yield lambda now: None


@contextlib.contextmanager
def counting() -> Iterator[Callable[[dict[str, int]], None]]:
    """A running count of documents and tokens; nothing when the output is no terminal."""
    with Live(console=err, transient=True, auto_refresh=False) if err.is_terminal else contextlib.nullcontext() as live:

        def show(counts: dict[str, int]) -> None:
            if live is not None:
                live.update(_counts(counts), refresh=True)

        yield show


@contextlib.contextmanager
def progress(what: str, total: Callable[[], int | None]) -> Iterator[Callable[[int], None]]:
    """A bar with rate and remaining time, once the work has lasted two seconds; nothing when the output is no terminal.

    `total` is asked only if there is a bar to draw; None: unknown.
    """
    if not err.is_terminal:
        yield lambda done: None
        return
    bar = Progress(
        TextColumn("{task.completed:,}/{task.total:,} " + what if (known := total()) else "{task.completed:,} " + what),
        BarColumn(bar_width=24), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=err, transient=True,
    )  # fmt: skip
    task = bar.add_task("", total=known, rate="")
    start, done = time.monotonic(), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        seconds = time.monotonic() - start
        if seconds > 2:
            bar.start()
            bar.update(task, completed=done, rate=f"{done / seconds:,.0f} {what}/s")

    try:
        yield advance
    finally:
        bar.stop()


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{value:,} {name}" for name, value in counts.items() if isinstance(value, int))


def guesses(text: str, masks: list[Any]) -> None:
    """The candidates for each mask of a text."""
    out.print(text, markup=False, style="bold")
    for number, mask in enumerate(masks, 1):
        if len(masks) > 1:
            out.print(f"  mask {number}", markup=False)
        _bars([(guess.probability, guess.token) for guess in mask.top])


PAIRS = {"is_next": "{pair!r} {verb} {text!r}", "in_order": "{text!r}, {pair!r} {verb}"}
"""What a head of pairs tells -> the sentence about it."""
VERBS = {"is_next": ("does not follow", "follows"), "in_order": ("have changed places", "are in this order")}
"""The words in it, for no and yes."""


def pair_of_sentences(told: str, text: str, pair: str, probability: float) -> None:
    """What a head of pairs tells of two texts."""
    said = PAIRS[told].format(text=text, pair=pair, verb=VERBS[told][probability >= 0.5])
    out.print(f"{probability:.2%}  {said}", markup=False)


def _shown(text: str) -> str:
    """A text, or both ends of a long one."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: 2 * LONGEST // 3]} {drawn('…', '...')} {text[-LONGEST // 3 :]}"


def labels(text: str, pair: str | None, scores: list[Any], *, shares: bool) -> None:
    """The labels of a text with their scores: probabilities as bars (`shares`), anything else as numbers."""
    out.print(_shown(text) if pair is None else f"{_shown(text)}  |  {_shown(pair)}", markup=False, style="bold")
    if shares:
        _bars([(found.score, found.label) for found in scores])
    else:
        for found in scores:
            out.print(f"  {found.label}  {found.score:.4f}", markup=False)


def choices(text: str, scores: list[Any]) -> None:
    """The choices by probability."""
    out.print(text, markup=False, style="bold")
    _bars([(found.probability, found.text) for found in scores])


def answers(question: str, context: str, found: list[Any]) -> None:
    """The answers by probability, and the best one where it stands."""
    out.print(question, markup=False, style="bold")
    _bars([(answer.probability, answer.text or "(no answer)") for answer in found])
    best = found[0]
    if best.text:
        before, behind = context[max(0, best.start - 60) : best.start], context[best.end : best.end + 60]
        dots = drawn("…", "...")
        start, end = (dots if best.start > 60 else ""), (dots if best.end + 60 < len(context) else "")
        out.print(_one_line(f"  {start}{before}[{best.text}]{behind}{end}"), markup=False)


def spans(text: str, found: list[Any]) -> None:
    """The labelled stretches of a text."""
    out.print(text, markup=False, style="bold")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for span in found:
        table.add_row(f"{span.score:7.2%}", Text(span.label), Text(_one_line(span.text)), f"{span.start}-{span.end}")
    out.print(table)


def _bars(rows: list[tuple[float, str]]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    block = drawn("█", "#")
    for share, name in rows:
        table.add_row(f"{share:7.2%}", Text(_one_line(name)), block * max(1, round(20 * share)))
    out.print(table)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def doctor(found: dict[str, Any]) -> None:
    """The report of `bertref doctor`: nested dicts as tables."""
    for section, values in found.items():
        if isinstance(values, dict):
            table = Table(title=section, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
            for name, value in values.items():
                table.add_row(Text(str(name)), Text(_plain(value)))  # text is no markup: [torch] stays
            out.print(table)
        else:
            out.print(f"{section}: {_plain(values)}", markup=False)


def implementations(found: dict[str, Any]) -> None:
    """The report of `bertref doctor --ops`: a line an op."""
    out.print(f"{found['config']} in {found['dtype']} on {found['backend']}", markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("op", "served by", "in"):
        table.add_column(title, no_wrap=True)
    table.add_column("why not a kernel")
    for choice in found["ops"]:
        module = choice["module"].removeprefix("bertref.")
        table.add_row(choice["op"], choice["implementation"], module, Text(choice["why"]))
    out.print(table)
    if found["products"]:
        out.print(f"matrix products of the kernels: {found['products']}", markup=False)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items() if v not in (None, "", [], {}))
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return (
        {True: "yes", False: "no", None: "-"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)
    )


def curve(points: list[tuple[int, float]]) -> list[str]:
    """A chart of (step, loss) in block characters, CURVE_HEIGHT lines high."""
    finite = [(s, v) for s, v in points if math.isfinite(v)]
    if len(finite) < 2:
        return []
    width = min(CURVE_WIDTH, len(finite))
    columns = []
    for i in range(width):
        part = finite[len(finite) * i // width : len(finite) * (i + 1) // width]
        columns.append(sum(v for _, v in part) / len(part))
    top = max(columns)
    blocks = drawn(BLOCKS, PLAIN_BLOCKS, err)
    lines = []
    for row in range(CURVE_HEIGHT, 0, -1):
        cells = [max(0.0, min(1.0, v / top * CURVE_HEIGHT - row + 1)) for v in columns]
        label = f"{top * row / CURVE_HEIGHT:6.2f} "
        lines.append(label + "".join(blocks[round(8 * c)] for c in cells))
    return [*lines, " " * 7 + f"step {finite[0][0]} to {finite[-1][0]}"]


class Training:
    """A pre-training run: a bar with live figures in a terminal, a line now and then elsewhere, or, if
    that is asked for, every one."""

    def __init__(self, *, every_report: bool = False) -> None:
        self._progress: Progress | None = None
        self._task: Any = None
        self._every_report = every_report
        self._curve: list[tuple[int, float]] = []
        self._last_line = -math.inf
        self._eval: dict[str, Any] | None = None

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        {
            "message": lambda v: message(v["text"]),
            "prepare": lambda v: None,
            "start": self._start,
            "step": self._step,
            "eval": self._evaluated,
            "saved": lambda v: None if self._progress else message(f"step {v['step']}: saved {v['path']}"),
            "done": self._done,
        }[event](values)

    def close(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def _start(self, v: dict[str, Any]) -> None:
        message(
            f"BERT-{v['config']}: {v['parameters']:,} parameters, vocabulary {v['vocabulary']:,}; "
            + ", ".join(f"{v[name]:,} {name}" for name in ("tokens", "documents", "examples") if name in v)
        )
        message(
            f"{v['steps']} steps of {v['batch_size']} x {v['seq_len']} tokens, {v['optimizer']}, peak rate "
            f"{v['learning_rate']:g}, {v['precision']} on {v['backend']}"
        )
        self._begin(v)

    def _begin(self, v: dict[str, Any]) -> None:
        """The bar, in a terminal."""
        if err.is_terminal:
            self._progress = Progress(
                TextColumn("[bold]step"), MofNCompleteColumn(), BarColumn(bar_width=24),
                TextColumn("{task.description}"),
                TimeRemainingColumn(), console=err,
            )  # fmt: skip
            self._progress.start()
            self._task = self._progress.add_task("", total=v["steps"], completed=v["first_step"])

    figures: ClassVar[dict[str, str]] = {"masked_lm_accuracy": "words", "next_sentence_accuracy": "next"}
    """The figures of a step that are shown, and how they are called."""

    def _step(self, v: dict[str, Any]) -> None:
        self._curve.append((v["step"], v["loss"]))
        words = [
            f"loss {v['loss']:.3f}",
            *(f"{name} {v[figure]:.0%}" for figure, name in self.figures.items() if figure in v),
            f"rate {v['learning_rate']:.1e}",
            f"norm {v['gradient_norm']:.2f}",
            f"{v['tokens_per_second']:,.0f} tokens/s",
        ]
        if self._progress:
            self._progress.update(self._task, completed=v["step"], description=" ".join(words))
        elif self._every_report or v["seconds"] - self._last_line > 10 or v["step"] in (1, v["steps"]):
            self._last_line = v["seconds"]
            message(f"step {v['step']}/{v['steps']}  " + "  ".join(words))

    def _evaluated(self, v: dict[str, Any]) -> None:
        self._eval = v
        where = "held-out documents" if v["on"] == "held-out" else "the text learnt from"
        names = [f"{head}_{what}" for head in ("masked_lm", "next_sentence") for what in ("loss", "accuracy")]
        message(f"step {v['step']}, on {where}: " + "  ".join(f"{name} {v[name]:.3f}" for name in names if name in v))

    def _done(self, v: dict[str, Any]) -> None:
        if not self._ended(v):
            return
        if self._eval and self._eval["unigram_loss"] is not None:
            gain = self._eval["unigram_loss"] - self._eval["masked_lm_loss"]
            message(
                f"masked_lm_loss {self._eval['masked_lm_loss']:.3f}; predicting by word frequency alone "
                f"{self._eval['unigram_loss']:.3f} ({abs(gain):.3f} nats {'better' if gain >= 0 else 'worse'})"
            )
        message(f"The model is in {v['out']}. Try it:")
        example = f"The {v['mask']} statement is used to {v['mask']} an exception."
        out.print(f'bertref predict --model {shlex.quote(v["out"])} "{example}"', markup=False)

    def _ended(self, v: dict[str, Any]) -> bool:
        """Draws the curve; whether the run came to its end."""
        self.close()
        for line in curve(self._curve):
            message(line)
        if v["status"] == "interrupted":
            message(f"Stopped after step {v['step']} and saved; add --resume to the same command to go on.")
        return bool(v["status"] != "interrupted")
