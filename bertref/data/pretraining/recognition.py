"""What the lines of a text are, and what its blank lines separate, where the caller leaves that to be seen.

Judged by the first SAMPLE lines that aren't blank, in this order:

1. Lines are sentences if most of them are exactly one sentence with its final mark (`sentences.line_style`).
2. Otherwise they are running text if sentences end inside of them, or if there is a `<br>`.
3. Otherwise they are running text if they go on in the next line, and there are final marks at all. A line goes on if
   it has no final mark, and is too full to take the next line's first word, or ends with a comma, a colon or a dash,
   or the next one begins in lower case.
4. Otherwise they are short paragraphs if some have final marks, and sentences if they do without: captions, queries,
   speech. But lines without marks that go on, as those of wrapped text do, or that are longer than sentences are, may
   be anything.

Where lines are sentences, blank lines separate documents; unless there is one after every line, and no final mark. In
running text they separate paragraphs, and the file is one document: so books are typed. But in text of one case (lower
case, capitals, a script without cases) they may separate anything, because a sentence's beginning can't be told from
its middle.

What may be anything the caller has to say. But the files of a corpus are alike: what can't be seen in one of them is
taken to be as in the one before it.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ...errors import InputError
from .sentences import BOUNDARY, BREAK_TAG, FINAL, LineStyle, line_style, line_width, running_style, split_sentences

TextLayout = Literal["auto", "blank-line", "file", "wiki", "jsonl"]
Sentences = Literal["auto", "line", "split"]

ENDS_INSIDE = 0.08
"""Sentence ends inside of lines, a line, from which lines are running text: a hundred novels, wrapped or a paragraph a
line, have 0.16 to 4.2; six corpora of a sentence a line at most 0.02."""
GOING_ON = 0.3
"""Lines that go on, of those without a final mark that a line follows, from which they are running text."""
FEW = 10
"""Fewer lines than this may go on, or not, by chance."""
MARKED = 0.1
"""Lines that end with a final mark, from which the text can be said to have marks."""
RARE = 0.05
"""Sentence ends, a line, below which wrapped text has none (a licence: 0.13)."""
LONG = 300
"""Characters that half of the lines exceed, if they are no sentences."""
CAPITALS, SMALL = 0.9, 0.7
"""Capitals among the letters, or lower case at the beginnings of sentences (names keep their capitals in some corpora),
from which a text has one case. Beginnings in lower case: at most 0.19 in a hundred novels."""

LETTER = re.compile(r"[^\W\d_]")
PAUSE = re.compile(r"[,;:，；：、—–-]$")


class Reading(NamedTuple):
    """How a file is read. `width`: of its lines; `one_case`: capitals don't show where a sentence begins."""

    layout: TextLayout
    style: LineStyle
    width: int
    one_case: bool


SENTENCES = (
    "its lines have no final marks (. ! ?), and go on in the next line or are too long for sentences. Add "
    "--sentences line if each is a sentence all the same, or --sentences split if they are running text"
)
DOCUMENTS = (
    "its blank lines may separate documents or parts of one; text in one case or without final marks doesn't show "
    "it. Add --documents blank-line or --documents file"
)


def recognise(
    path: Path, sample: Sequence[str], layout: TextLayout, sentences: Sentences, before: Reading | None = None
) -> Reading:
    """How to read a file that begins with the lines `sample`, of which those that are blank are "".

    `layout` and `sentences` are the caller's word, or "auto". `before` is how the text file before it was read. Raises
    `InputError`, with the choices, for what neither shows.
    """
    lines = _Lines.of(sample)
    ragged = lines.followed >= FEW and lines.going_on < GOING_ON
    running: LineStyle = "paragraphs" if ragged or layout == "wiki" else running_style(sample)
    style: LineStyle | None = running if sentences == "split" else "sentences"
    if sentences == "auto":
        style = _style(sample, lines, layout, running)
    if style is None:
        style = "sentences" if _given(before, path, SENTENCES).style == "sentences" else running
    if layout == "auto":
        unmarked = sentences == "auto" and lines.marked < MARKED
        layout = _layout(lines, style, unmarked) or _given(before, path, DOCUMENTS).layout
    return Reading(layout, style, line_width(sample), lines.one_case)


def _given(before: Reading | None, path: Path, question: str) -> Reading:
    if before is None:
        raise InputError(f"{path}: {question}")
    return before


def _style(sample: Sequence[str], lines: "_Lines", layout: TextLayout, running: LineStyle) -> LineStyle | None:
    """What lines are; None if they may be anything."""
    if line_style(sample, one_case=lines.one_case) == "sentences":
        return "sentences"
    if layout == "wiki" or lines.ends_inside >= ENDS_INSIDE or any(map(BREAK_TAG.search, sample)):
        return running
    go_on = lines.going_on >= GOING_ON
    if go_on and lines.marked + lines.ends_inside >= RARE:
        return running
    if not go_on and lines.marked >= MARKED:
        return "paragraphs"
    too_long = lines.length > LONG and layout != "jsonl"
    return None if too_long or (go_on and lines.followed >= FEW) else "sentences"


def _layout(lines: "_Lines", style: LineStyle, unmarked: bool) -> TextLayout | None:
    """What blank lines make of a file; None if they may separate anything."""
    if style == "sentences":
        return None if unmarked and lines.alone else "blank-line"
    return None if lines.one_case and lines.blank else "file"


class _Lines(NamedTuple):
    """Figures of a sample's lines.

    one_case     capitals don't show where sentences begin
    blank        some lines are blank
    alone        there is a blank one between any two others
    marked       share that ends with a final mark
    ends_inside  sentences that end inside of lines, a line
    followed     how many have no final mark and are followed by one that isn't blank
    going_on     share of those that go on in the next one
    length       characters that half of the lines have at least
    """

    one_case: bool = False
    blank: bool = False
    alone: bool = False
    marked: float = 0
    ends_inside: float = 0
    followed: int = 0
    going_on: float = 0
    length: int = 0

    @classmethod
    def of(cls, sample: Sequence[str]) -> "_Lines":
        full = [line for line in sample if line]
        if not full:
            return cls()
        one_case = has_one_case(sample)
        lengths = sorted(map(len, full))
        width = lengths[int(0.95 * (len(full) - 1))]
        pairs = [(a, b) for a, b in itertools.pairwise(sample) if a and b]
        unmarked = [(a, b) for a, b in pairs if not FINAL.search(a)]
        return cls(
            one_case=one_case,
            blank="" in sample,
            alone="" in sample and not pairs,
            marked=sum(1 for line in full if FINAL.search(line)) / len(full),
            ends_inside=sum(len(split_sentences(line, one_case=one_case)) - 1 for line in full) / len(full),
            followed=len(unmarked),
            going_on=sum(_goes_on(a, b, width, one_case) for a, b in unmarked) / max(1, len(unmarked)),
            length=lengths[len(full) // 2],
        )


def _goes_on(line: str, following: str, width: int, one_case: bool) -> bool:
    """Whether a line without a final mark goes on in the next one. Without spaces a line may be cut anywhere."""
    first_word = 1 + len(following.split(maxsplit=1)[0]) if " " in following else 1
    return len(line) + first_word > width or bool(PAUSE.search(line)) or (following[0].islower() and not one_case)


def has_one_case(lines: Sequence[str]) -> bool:
    """Whether capitals don't show where a sentence begins: lower case, capitals, or a script that has no cases."""
    text = "".join(lines)
    letters, capitals, small = (sum(map(kind, text)) for kind in (str.isalpha, str.isupper, str.islower))
    if 2 * (capitals + small) < letters or capitals > CAPITALS * (capitals + small):
        return True
    beginnings = list(_beginnings(lines))
    return bool(beginnings) and sum(map(str.islower, beginnings)) >= SMALL * len(beginnings)


def _beginnings(lines: Sequence[str]) -> Iterator[str]:
    """The first letters of what begins after a final mark or a blank line."""
    ended = True
    for line in lines:
        first = LETTER.search(line)
        if ended and first:
            yield first[0]
        for match in BOUNDARY.finditer(line):
            if match["next"] and match["next"].isalpha():
                yield match["next"]
        ended = not line or bool(FINAL.search(line))
