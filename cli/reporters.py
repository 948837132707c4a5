"""Where the events of a run go besides the terminal: JSON lines, TensorBoard files, a picture."""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from ..errors import InputError
from ..plumbing.files import replacing
from ..train.report import Report
from . import plot_evaluation


class Reporter(Protocol):
    """Takes events and is closed at the end."""

    def __call__(self, event: str, values: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


@contextlib.contextmanager
def all_of(*reporters: Reporter) -> Iterator[Report]:
    """One report function for several reporters; closes them all, even after an error."""

    def report(event: str, values: dict[str, Any]) -> None:
        for reporter in reporters:
            reporter(event, values)

    with contextlib.ExitStack() as stack:
        for reporter in reporters:
            stack.callback(reporter.close)
        yield report


class Later:
    """A reporter whose file lies in the run's own folder, which the run wants to find empty: `make` makes it when the
    run begins, and it is then told what was said before."""

    def __init__(self, make: Callable[[], Reporter]) -> None:
        self._make = make
        self._made: Reporter | None = None
        self._before: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        self._before.append((event, values))
        if self._made is None and event in ("message", "prepare"):
            return
        self._made = self._made or self._make()
        for each in self._before:
            self._made(*each)
        self._before.clear()

    def close(self) -> None:
        if self._made:
            self._made.close()


class JsonLines:
    """One JSON object a line; NaN and infinities, which JSON lacks, become null."""

    def __init__(self, stream: TextIO, *, owned: bool = False) -> None:
        self._stream, self._owned = stream, owned

    @classmethod
    def append(cls, path: str) -> "JsonLines":
        """To the end of a file."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            return cls(open(path, "a", encoding="utf-8"), owned=True)
        except OSError as error:
            raise InputError(f"--log-json {path}: can't be written ({error.strerror or error})") from None

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        self._stream.write(json.dumps({"schema": 1, "event": event, **_finite(values)}, allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        if self._owned:
            self._stream.close()


def _finite(value: Any) -> Any:
    """A plain value, with None for every NaN and infinity in it."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class TensorBoard:
    """Scalars of the steps and evaluations."""

    def __init__(self, folder: str) -> None:
        self.check()
        from tensorboardX import SummaryWriter

        try:
            self._writer = SummaryWriter(folder)
        except OSError as error:
            raise InputError(f"--tensorboard {folder}: can't be made ({error.strerror or error})") from None

    @staticmethod
    def check() -> None:
        """Raises `InputError` where the library is not installed."""
        try:
            import tensorboardX  # noqa: F401
        except ImportError:
            raise InputError("--tensorboard needs tensorboardX: pip install 'bertref[tensorboard]'") from None

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        if event not in ("step", "eval"):
            return
        for name, value in values.items():
            if isinstance(value, int | float) and name not in ("step", "steps"):
                self._writer.add_scalar(f"{event}/{name}", value, values["step"])

    def close(self) -> None:
        self._writer.close()


class Plot:
    """Curves of a run as a picture, drawn at the end by `_draw`."""

    title = ""

    def __init__(self, path: str, *, later: bool = False) -> None:
        plot_evaluation.check(path, later=later)
        self._path = path
        self._steps: list[dict[str, Any]] = []
        self._evals: list[dict[str, Any]] = []

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        if event == "step":
            self._steps.append(values)
        elif event == "eval":
            self._evals.append(values)

    def close(self) -> None:
        if not self._steps:
            return
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        axes.set(xlabel="step", ylabel="loss (nats)", title=self.title)
        self._draw(axes, [v["step"] for v in self._steps])
        axes.set_ylim(bottom=0)
        with replacing(Path(self._path)) as temporary:
            figure.savefig(temporary)

    def _draw(self, axes: Any, at: list[int]) -> None:
        raise NotImplementedError


class PretrainingPlot(Plot):
    """The losses of both heads, and what predicting by word frequency alone costs."""

    title = "Pre-training"

    def _draw(self, axes: Any, at: list[int]) -> None:
        axes.plot(at, [v["mlm_loss"] for v in self._steps], label="masked words")
        if "nsp_loss" in self._steps[0]:
            axes.plot(at, [v["nsp_loss"] for v in self._steps], label="next sentence")
        if self._evals:
            last = self._evals[-1]
            axes.plot([v["step"] for v in self._evals], [v["masked_lm_loss"] for v in self._evals], "o",
                      label=f"masked words, {last['on']}")  # fmt: skip
            if last["unigram_loss"] is not None:
                axes.axhline(last["unigram_loss"], linestyle=":", color="grey", label="word frequencies")
        axes.legend()


class FinetuningPlot(Plot):
    """The loss, and beside it the metric that chooses, with an axis of its own."""

    title = "Fine-tuning"

    def __init__(self, path: str, *, later: bool = False) -> None:
        super().__init__(path, later=later)
        self._metric = ""

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        super().__call__(event, values)
        if event == "start":  # of a grid the last experiment is drawn
            self._metric, self._steps, self._evals = values["metric"], [], []

    def _draw(self, axes: Any, at: list[int]) -> None:
        lines = axes.plot(at, [v["loss"] for v in self._steps], label="loss")
        if self._evals:
            other = axes.twinx()
            other.set_ylabel(self._metric)
            lines += other.plot([v["step"] for v in self._evals], [v[self._metric] for v in self._evals], "o-",
                                color="tab:orange", label=f"{self._metric}, {self._evals[-1]['on']}")  # fmt: skip
        axes.legend(handles=lines)
