"""Explanations as one page of HTML that needs nothing else: no script, no font, no picture from elsewhere."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from ..inference.explain import AttentionMap, Explanation
from ..plumbing.files import write_file
from .render_explanation import account, headline, shade, stretches, strongest, title

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; margin: 0 auto; max-width: 1080px;
  padding: 24px; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin-top: 32px; overflow-wrap: anywhere; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 2.6; font-size: 17px; overflow-x: auto; }
ruby { padding: 1px 2px; border-radius: 3px; white-space: nowrap; } rt { font-size: 10px; color: #4a525b; }
ruby.dark { color: #fff; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
td, th { padding: 2px 8px; text-align: left; font-weight: normal; max-width: 320px; overflow-wrap: anywhere; }
td.value { text-align: right; }
tr.sum td { border-top: 1px solid #1b1f24; font-weight: 600; } .wide { overflow-x: auto; }
.bar { display: inline-block; height: 10px; } .soft { color: #5c6670; } .map td { padding: 2px 4px; }
"""
LEGEND = (
    "Blue and +: speaks for the answer. Orange and -: speaks against it. A word without a number was cut off, or is "
    "the [MASK] that was asked for."
)
BAR = 160
"""Pixels of the strongest word's bar."""


def write(found: Sequence[Explanation | AttentionMap], path: Path) -> None:
    """Replaces the file. Raises `InputError` if the disk refuses."""
    write_file(path, page(found).encode("utf-8", "replace"))


def page(found: Sequence[Explanation | AttentionMap]) -> str:
    """The page: a section for each explanation."""
    body: list[str] = []
    for each in found:
        body += _map(each) if isinstance(each, AttentionMap) else _words(each)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>What moved the answer</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>What moved the answer</h1>\n" + "\n".join(body)
        + "\n</body></html>\n"
    )  # fmt: skip


def _words(found: Explanation) -> Iterator[str]:
    top = strongest(found) or 1.0
    yield f"<section><h2>{_legal(headline(found))}</h2>"
    for segment in range(1 if found.pair is None else 2):
        yield f'<p class="text">{"".join(_text(found, segment, top))}</p>'
    rows = (
        f'<tr><td>{_legal(word.text)}</td><td class="value">{word.value:+.6g}</td><td><span class="bar" style="width: '
        f'{BAR * abs(word.value) / top:.0f}px; background: {shade(1 if word.value >= 0 else -1)}"></span></td></tr>'
        for word in found.words
    )
    total = f'<tr class="sum"><td>sum</td><td class="value">{found.sum:+.6g}</td><td></td></tr>'
    yield f"<table>\n{chr(10).join(rows)}\n{total}\n</table>"
    yield from (f"<p>{_legal(line)}</p>" for line in account(found))
    yield f'<p class="soft">{LEGEND}</p></section>'


def _text(found: Explanation, segment: int, top: float) -> Iterator[str]:
    for text, word in stretches(found, segment):
        if word is None:
            yield _legal(text)
            continue
        share = word.value / top
        dark = ' class="dark"' if abs(share) > 0.75 else ""
        yield f'<ruby{dark} style="background: {shade(share)}">{_legal(text)}<rt>{word.value:+.2f}</rt></ruby>'


def _map(found: AttentionMap) -> Iterator[str]:
    yield f"<section><h2>{_legal(title(found))}</h2>"
    yield from (f'<p class="text">{_legal(text)}</p>' for text in (found.text, found.pair) if text is not None)
    head = "".join(f"<th>{_legal(token)}</th>" for token in found.tokens)
    rows = (
        f"<tr><th>{_legal(token)}</th>"
        + "".join(f'<td style="background: {shade(weight)}">{weight:.2f}</td>' for weight in row) + "</tr>"
        for token, row in zip(found.tokens, found.weights, strict=True)
    )  # fmt: skip
    yield f'<div class="wide"><table class="map">\n<tr><th></th>{head}</tr>\n{chr(10).join(rows)}\n</table></div>'
    yield '<p class="soft">A row for each token that reads; its numbers add up to 1.</p></section>'


def _legal(text: str) -> str:
    """Escaped, and without the control characters that a page can't hold."""
    return escape("".join(char if char >= " " or char in "\t\n" else "\N{REPLACEMENT CHARACTER}" for char in text))
