"""Running text to sentences, by rules that a person can check.

The original expects one sentence a line. Books, reviews and encyclopaedias come as running text; and
next-sentence prediction needs boundaries that are right most of the time, not always. So the rules are few.

**Where a sentence ends.** At one or more of . ! ? … with any closing quotes and brackets, if white space
follows and then, after any opening quotes, brackets or dashes, a digit or a letter that is not lower case.
The marks 。 ！ ？ end a sentence whatever follows. In text of one case (lower case, capitals) a lower-case letter may
follow, too, and abbreviations and initials are known in that case. But a single full stop does not end one

- after a title or an abbreviation that never does (`Mr.`, `e.g.`: ABBREVIATIONS),
- after one that a number follows (`No. 5`, `p. 12`, `Jan. 3`: BEFORE_NUMBERS),
- after initials (`J. S. Bach`, `M.R.C.S.`), except the word `I`,
- after a number or letter that begins the sentence (`1. Introduction`, `IV. The Return`).

No white space follows inside a number (3.14), and a lower-case letter before `said he`. Known errors: a
sentence that ends with initials is joined to the next (`in the U.S. It`), and speech is cut off from a
speaker who is named before the verb (`"Good!" Holmes said.`), in text of one case from every speaker.

**What lines are.** `line_style` looks at up to SAMPLE non-empty lines. They are

- "sentences" if at least 70 % of them are exactly one sentence by the rules above and end with its mark
  (the original's sample corpus: 81 %; a hundred English novels: 7 to 57 %; Wikipedia: 34 %);
- otherwise "wrapped" if nine tenths of them have at most 100 characters (wrapped novels: 55 to 73 characters,
  paragraphs: 184 and more);
- otherwise "paragraphs", one a line.

Text with `<br>` in it is never "sentences": that tag is a line break that was written differently. `recognition.py`
goes on from here where lines have no final marks.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

LineStyle = Literal["sentences", "paragraphs", "wrapped"]

SAMPLE = 1000
SENTENCES_FROM = 0.7
WRAPPED_UP_TO = 100

OPENING = "\"'“‘„«‹([{¿¡_*—–-"
CLOSING = "\"'”’»›)\\]}_*」』）"
MARKS = ".!?…。！？｡।॥؟۔։።፧။។"
BOUNDARY = re.compile(
    # one mark, then more: a pattern that begins with a set of characters is searched for four times as fast
    rf"(?P<mark>[{MARKS}][{MARKS}]*)(?P<closing>[{CLOSING}]*)"
    rf"(?:\s++(?=[{re.escape(OPENING)}\s]*+(?P<next>[^\W_])))?"
)
WHOLE_WIDTH = frozenset("。！？｡")
FINAL = re.compile(rf"[{MARKS}][{CLOSING}]*$")
INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)
NUMBERING = re.compile(r"\d+|[IVXLC]+|[^\W\d_]")

NEVER_LAST = """
Mr Mrs Ms Messrs Mme Mlle MM Dr Prof Rev Revd Hon St Ste Mt Ft Gen Col Maj Capt Cpt Lt Lieut Sgt Cpl Adm Cmdr Gov
Sen Rep Pres Supt Insp Msgr Fr Bros e.g i.e eg ie cf viz vs ca approx resp
"""
ABBREVIATIONS = frozenset(NEVER_LAST.split())
NUMBERED = """
No Nos no nos Vol Vols vol vols Fig Figs fig figs Ch Chap ch chap Art art Sec sec Eq eq Op op p pp v vv l ll
Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec
"""
BEFORE_NUMBERS = frozenset(NUMBERED.split())
ONE_CASE_ABBREVIATIONS = frozenset(NEVER_LAST.lower().split())
ONE_CASE_BEFORE_NUMBERS = frozenset(NUMBERED.lower().split())


def split_sentences(paragraph: str, *, one_case: bool = False) -> list[str]:
    """The sentences of one paragraph, in order; together they are the paragraph, white space aside.

    `one_case`: the text is in lower case or capitals throughout, so that a capital doesn't show what begins.
    """
    sentences = []
    start = 0
    for match in BOUNDARY.finditer(paragraph):
        if _ends_sentence(paragraph, start, match, one_case):
            sentences.append(paragraph[start : match.end()].strip())
            start = match.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _ends_sentence(text: str, start: int, match: re.Match[str], one_case: bool) -> bool:
    mark, closing, following = match.group("mark", "closing", "next")
    if not WHOLE_WIDTH.isdisjoint(mark):
        return True
    if following is None or (following.islower() and not one_case):
        return False
    if mark != "." or closing:
        return True
    end = match.start()
    before = max(text.rfind(" ", start, end) + 1, start)
    word = text[before:end].lstrip(OPENING)
    if _is_abbreviation(word, following, one_case) or (before == start and NUMBERING.fullmatch(word)):
        return False
    if one_case:
        word = word.upper()
    return word == "I" or not (word.isupper() and INITIALS.fullmatch(word))


def _is_abbreviation(word: str, following: str, one_case: bool) -> bool:
    """Whether the full stop after a word belongs to it, and no sentence ends before what begins with `following`."""
    if one_case:
        word = word.lower()
        return word in ONE_CASE_ABBREVIATIONS or (word in ONE_CASE_BEFORE_NUMBERS and following.isdigit())
    return word in ABBREVIATIONS or (word in BEFORE_NUMBERS and following.isdigit())


def line_style(lines: Sequence[str], *, one_case: bool = False) -> LineStyle:
    """What the lines of a text are, by the test that the head of this file states. Blank lines don't count."""
    full = list(itertools.islice((line.strip() for line in lines if line.strip()), SAMPLE))
    if not full:
        return "sentences"
    if not any(BREAK_TAG.search(line) for line in full):
        whole = sum(1 for line in full if FINAL.search(line) and len(split_sentences(line, one_case=one_case)) == 1)
        if whole >= SENTENCES_FROM * len(full):
            return "sentences"
    return running_style(full)


def running_style(lines: Sequence[str]) -> LineStyle:
    """Either "wrapped" or "paragraphs", for text that is known not to have a sentence a line."""
    return "wrapped" if line_width(lines) <= WRAPPED_UP_TO else "paragraphs"


def line_width(lines: Sequence[str]) -> int:
    """The length that nine tenths of the non-empty lines don't exceed."""
    lengths = sorted(len(line.strip()) for line in lines if line.strip())
    return lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0


def paragraphs(
    lines: Iterable[str], style: LineStyle, width: int = 0, *, one_case: bool = False
) -> Iterator[str]:
    """Joins the lines of running text to paragraphs; white space is evened out.

    A blank line and a `<br>` end a paragraph, and with style "paragraphs" every line does. A "wrapped" line
    is joined to the next if it is at least 60 % of `width` long, so that headings and last lines stay alone,
    or if the next begins with a lower-case letter, unless all do (`one_case`).
    """

    def joins(last: str, line: str) -> bool:
        return len(last) >= 0.6 * width or (line[0].islower() and not one_case)

    pending: list[str] = []
    for line in _unbroken(lines):
        if pending and not (line and style == "wrapped" and joins(pending[-1], line)):
            yield " ".join(pending)
            pending = []
        if line:
            pending.append(line)
    if pending:
        yield " ".join(pending)


def _unbroken(lines: Iterable[str]) -> Iterator[str]:
    """The lines, cut at `<br>`, each with single spaces."""
    for line in lines:
        for part in BREAK_TAG.split(line) if "<" in line else (line,):
            yield " ".join(part.split())
