"""Explanations as a picture, by matplotlib: bars of words, or maps of attention."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..inference.explain import AttentionMap, Explanation
from ..plumbing.files import replacing
from . import render
from .render_explanation import account, headline, shade, title

PANELS = 12
WORDS = 40
"""Of a panel: of a longer text the strongest."""


def draw(found: Sequence[Explanation | AttentionMap], path: Path) -> None:
    """Replaces the file by a picture with a panel for each explanation. Raises `InputError` if the disk refuses."""
    from matplotlib.figure import Figure

    shown = found[:PANELS]
    if len(found) > len(shown):
        render.message(f"{path}: shows the first {PANELS} of {len(found):,} explanations")
    heights = [_height(each) for each in shown]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    grid = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, each in zip(grid, shown, strict=True):
        if isinstance(each, AttentionMap):
            _map(axes, each)
        else:
            _bars(axes, each)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _height(found: Explanation | AttentionMap) -> float:
    """Inches."""
    count = len(found.tokens) if isinstance(found, AttentionMap) else min(len(found.words), WORDS)
    return 1.6 + 0.22 * count


def _bars(axes: Any, found: Explanation) -> None:
    """The words in the order of the text, from the top."""
    some = sorted(range(len(found.words)), key=lambda i: -abs(found.words[i].value))[:WORDS]
    words = [found.words[i] for i in sorted(some)]
    colours = [shade(1 if word.value >= 0 else -1) for word in words]
    axes.barh(range(len(words)), [word.value for word in words], color=colours)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(words)), [" ".join(word.text.split()) for word in words], parse_math=False)
    axes.invert_yaxis()
    axes.set_title(headline(found), parse_math=False, fontsize="medium", wrap=True)
    left_out = len(found.words) - len(words)
    note = f"; {left_out} weaker words are left out" if left_out else ""
    axes.set_xlabel("\n".join(account(found)) + note, parse_math=False, fontsize="small")


def _map(axes: Any, found: AttentionMap) -> None:
    places = range(len(found.tokens))
    axes.imshow(found.weights, cmap="Blues", vmin=0)
    axes.set_xticks(places, found.tokens, rotation=90, parse_math=False)
    axes.set_yticks(places, found.tokens, parse_math=False)
    axes.set_title(title(found), parse_math=False, fontsize="medium", wrap=True)
