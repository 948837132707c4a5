"""Explanations in the terminal: colours say what numbers with signs say, too."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from ..inference.explain import AttentionMap, Explanation, WordValue
from ..inference.explain.attention import CAUTION
from ..inference.explain.records import TOLERANCE
from .render import drawn, out

ROWS = 20
"""Words of a table, the strongest."""
READ = 3
"""Tokens of a row of an attention map."""
BAR = 16
FOR, AGAINST = (0x2B, 0x6C, 0xC4), (0xD9, 0x7A, 0x1A)
"""Blue and orange, which nobody confuses."""


class Stretch(NamedTuple):
    """A part of a text; `word` is None between words and where a word has no value."""

    text: str
    word: WordValue | None


def explanation(found: Explanation | AttentionMap) -> None:
    """A text with its words' values, or whom each token reads."""
    if isinstance(found, AttentionMap):
        _attention(found)
    else:
        _words(found)


def _words(found: Explanation) -> None:
    top = strongest(found)
    out.print(f"  {headline(found)}", markup=False)
    for segment in range(1 if found.pair is None else 2):
        line = Text("  ")
        for part, word in stretches(found, segment):
            line.append(part, style=_style(word.value / top) if word and top else "")
        out.print(line)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    ordered = sorted(found.words, key=lambda word: -abs(word.value))
    block = drawn("█", "#")
    for word in ordered[:ROWS]:
        bar = block * (max(1, round(BAR * abs(word.value) / top)) if top else 0)
        table.add_row("", f"{word.value:+.4f}", Text(" ".join(word.text.split())), Text(bar, style=_bar(word.value)))
    out.print(table)
    if rest := ordered[ROWS:]:
        out.print(f"  {sum(word.value for word in rest):+.4f}  {len(rest)} weaker words together", markup=False)
    for sentence in account(found):
        out.print(f"  {sentence}", markup=False)


def headline(found: Explanation) -> str:
    """ "why good, not bad: logit(good) - logit(bad) = +1.6130" """
    against = "" if found.other is None else f", not {found.other}"
    where = "" if found.position is None else f" at token {found.position}"
    return f"why {found.label}{against}{where}: {found.target} = {found.value:+.4f}"


def account(found: Explanation) -> list[str]:
    """What the values add up to, and whether that is all."""
    share = f" ({found.gap / abs(found.difference):.2%})" if found.difference else ""
    gap = f"gap {found.gap:.2g}{share}"
    if found.method == "gradient":
        return [
            f"gradient x input: sum {found.sum:+.4f}, difference from zero vectors {found.difference:+.4f}, {gap}",
            "gradient x input is not complete: its values need not add up to the difference",
        ]
    lines = [
        f"integrated gradients from {found.baseline}, {found.nodes} nodes: sum {found.sum:+.4f}, difference "
        f"{found.difference:+.4f}, {gap}"
    ]
    if not found.complete:
        lines.append(f"the gap is larger than {TOLERANCE:.1%}: the values don't account for all of the difference")
    return lines


def stretches(found: Explanation, segment: int) -> Iterator[Stretch]:
    """The text (0) or its pair (1) in parts: words with their values, and what stands between."""
    text, at = (found.text if segment == 0 else found.pair or ""), 0
    for word in found.words:
        if word.segment != segment:
            continue
        start = max(word.start, at)
        if start > at:
            yield Stretch(text[at:start], None)
        yield Stretch(text[start : word.end], word)
        at = max(at, word.end)
    if text[at:]:
        yield Stretch(text[at:], None)


def strongest(found: Explanation) -> float:
    """The largest absolute value of a word."""
    return max(abs(word.value) for word in found.words)


def shade(share: float) -> str:
    """The colour of a value from -1 (orange) over 0 (white) to 1 (blue)."""
    mixed = (round(255 + (full - 255) * min(abs(share), 1)) for full in (FOR if share >= 0 else AGAINST))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _style(share: float) -> str:
    """Black on all but the darkest colours."""
    return f"{'white' if abs(share) > 0.75 else 'black'} on {shade(share)}"


def _bar(value: float) -> str:
    return shade(1 if value >= 0 else -1)


def _attention(found: AttentionMap) -> None:
    out.print(f"  {title(found)}", markup=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for token, row in zip(found.tokens, found.weights, strict=True):
        best = sorted(range(len(row)), key=lambda i: -row[i])[:READ]
        table.add_row("", Text(token), *(Text(f"{row[i]:.2f} {found.tokens[i]}") for i in best))
    out.print(table)


def title(found: AttentionMap) -> str:
    """ "attention of layer 3, head 0, what each token reads most; attention is not attribution" """
    head = "mean of its heads" if found.head is None else f"head {found.head}"
    return f"attention of layer {found.layer}, {head}: what each token reads most; {CAUTION}"
