"""Pictures of an evaluation, by matplotlib: confusion, curves, calibration, probabilities, vectors in the plane."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..plumbing.files import replacing
from . import render

MOST_LABELS = 20
"""Of a confusion matrix or a set of curves."""
UNDRAWN = ("question-answering",)


def check(path: str, option: str = "--plot", *, later: bool = False) -> None:
    """Raises `InputError` if no picture can be drawn into the file; `later`: its folder is still to be made."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise InputError(f"{option} needs matplotlib: pip install 'bertref[plot]'") from None
    check_file(path, option, later=later)
    known = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.removeprefix(".") not in known:
        raise InputError(f"{option} {path}: pictures end in .{', .'.join(sorted(known))}")


def check_file(path: str, option: str, *, later: bool = False) -> None:
    """Raises `InputError` if the file can't be written; `later`: its folder is still to be made."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{option} {path}: is a folder; a file is needed")
    if later:
        return
    if not file.resolve().parent.is_dir():
        raise InputError(f"{option} {path}: its folder does not exist")
    there = file.exists()
    try:
        file.open("ab").close()
        if not there:
            file.unlink(missing_ok=True)  # another process may have looked, too
    except OSError as error:
        raise InputError(f"{option} {path}: can't be written ({error.strerror or error})") from None


def is_inside(path: str, folder: str) -> bool:
    """Whether a path is the folder, or lies somewhere in it."""
    place = Path(path).resolve()
    return Path(folder).resolve() in (place, *place.parents)


def check_drawable(kind: str) -> None:
    """Raises `InputError` for a kind of task whose reports never have anything to draw."""
    if kind in UNDRAWN:
        raise InputError(f"--plot: there is no curve or table of {kind} to draw; leave it out")


def evaluation(result: Any, path: str) -> None:
    """A row of panels for each part: whatever its report has."""
    rows = [(name, _panels(part.report)) for name, part in result.parts.items()]
    width = max(len(panels) for _, panels in rows)
    if not width:
        render.message(f"{path}: not written; there is no curve or table of this task to draw")
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * width, 4.2 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), width, squeeze=False)
    for axes_of_row, (name, panels) in zip(grid, rows, strict=True):
        for axes in axes_of_row[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(axes_of_row, panels, strict=False):
            panel(axes)
        if len(rows) > 1 and panels:
            axes_of_row[0].set_title(f"{name}: {axes_of_row[0].get_title()}")
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary)


def _panels(report: Any) -> list[Callable[[Any], None]]:
    """What there is to draw, each a function of its axes."""
    found: list[Callable[[Any], None]] = []
    if report.confusion and len(report.confusion.labels) <= MOST_LABELS:
        found.append(lambda axes: _confusion(axes, report.confusion))
    if report.roc and len(report.roc) <= MOST_LABELS:
        found += [lambda axes: _roc(axes, report.roc), lambda axes: _precision_recall(axes, report.precision_recall)]
    if report.reliability:
        found.append(lambda axes: _reliability(axes, report.reliability))
    if report.shares and len(report.shares) <= MOST_LABELS:
        found.append(lambda axes: _shares(axes, report.shares))
    if report.numbers:
        found.append(lambda axes: _numbers(axes, *report.numbers))
    if not found and report.scores:
        found.append(lambda axes: _f1(axes, report.scores))
    return found


def _confusion(axes: Any, confusion: Any) -> None:
    counts = confusion.counts
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(confusion.labels))
    for i, j in itertools.product(places, places):
        colour = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=colour)
    axes.set_xticks(places, confusion.labels, rotation=45 if len(places) > 3 else 0)
    axes.set_yticks(places, confusion.labels)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion")


def _roc(axes: Any, curves: Any) -> None:
    for label, curve in curves.items():
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label)
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    axes.legend()


def _precision_recall(axes: Any, curves: Any) -> None:
    for label, curve in curves.items():
        axes.plot(curve.recall, curve.precision, label=label, drawstyle="steps-post")
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.03))
    axes.legend()


def _reliability(axes: Any, bins: Any) -> None:
    filled = bins.counts > 0
    width = bins.edges[1] - bins.edges[0]
    axes.bar(bins.edges[:-1][filled], bins.accuracy[filled], width, align="edge", edgecolor="white", label="right")
    axes.plot(bins.confidence[filled], bins.accuracy[filled], "o", color="black", markersize=4)
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.set(xlabel="probability of the prediction", ylabel="share that is right", title="Calibration", xlim=(0, 1),
             ylim=(0, 1.03))  # fmt: skip


def _shares(axes: Any, shares: Any) -> None:
    places = range(len(shares))
    names = (("probability", "mean probability"), ("predicted", "predicted"), ("true", "true"))
    for i, (field, name) in enumerate(names):
        heights = [getattr(each, field) for each in shares.values()]
        axes.bar([place + 0.27 * (i - 1) for place in places], heights, 0.25, label=name)
    axes.set_xticks(places, list(shares), rotation=45 if len(shares) > 3 else 0)
    axes.set(ylabel="share of examples", title="Probabilities", ylim=(0, 1.03))
    axes.legend()


def _numbers(axes: Any, true: Any, said: Any) -> None:
    axes.plot(true, said, ".", alpha=0.5)
    ends = [min(true.min(), said.min()), max(true.max(), said.max())]
    axes.plot(ends, ends, ":", color="grey")
    axes.set(xlabel="true", ylabel="predicted", title="Numbers")


def _f1(axes: Any, scores: Any) -> None:
    axes.barh(list(scores), [row.f1.value for row in scores.values()])
    axes.invert_yaxis()
    axes.set(xlabel="F1", title="By type", xlim=(0, 1))


def vectors(result: Any, path: str) -> None:
    """The vectors of [CLS] of every part, coloured by label."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(result.parts), 5), layout="constrained")
    for axes, (name, part) in zip(figure.subplots(1, len(result.parts), squeeze=False)[0], result.parts.items(),
                                  strict=True):  # fmt: skip
        _scatter(figure, axes, part.vectors, name)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary)


def _scatter(figure: Any, axes: Any, found: Any, name: str) -> None:
    numbers = all(isinstance(label, float) for label in found.labels)
    if numbers:
        drawn = axes.scatter(*found.points.T, c=found.labels, s=8, cmap="viridis")
        figure.colorbar(drawn, ax=axes)
    else:
        words = [_word(label) for label in found.labels]
        for label in sorted(set(words)):
            rows = [i for i, word in enumerate(words) if word == label]
            axes.scatter(*found.points[rows].T, s=8, label=label)
        axes.legend()
    shares = ["" if math.isnan(share) else f" ({share:.0%} of the variance)" for share in found.shares]
    axes.set(xlabel=f"first component{shares[0]}", ylabel=f"second component{shares[1]}", title=f"[CLS], {name}")


def _word(label: Any) -> str:
    if label is None:
        return "unknown"
    return label if isinstance(label, str) else ", ".join(label) or "none"
