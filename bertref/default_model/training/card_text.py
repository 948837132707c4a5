"""The default model's card as text, from the figures that `card` gathered."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ... import __version__

SHOWN = ("accuracy", "auc", "f1", "precision", "recall", "matthews", "loss")
"""Metrics of the reviews to report on."""
LONGEST = 160
"""Letters of a text that is shown."""

Figures = dict[str, Any]


def card_text(figures: Figures, *, teacher: str, seed: int) -> str:
    """The whole card. `teacher` is the name of the encoder that taught."""
    sections = (_head(seed), _data(figures, teacher), _results(figures), _others(figures), _limits(figures),
                _training(figures))  # fmt: skip
    return "\n".join(line for section in sections for line in (*section, ""))


def _head(seed: int) -> Iterator[str]:
    yield from ("---", "library_name: transformers", "pipeline_tag: text-classification", "language: en")
    yield from ("license: apache-2.0", "tags:", "- bert", "- bertref", "- sentiment", "---", "")
    yield from ("# The default model of bertref", "")
    yield "A small BERT (4 layers, 256 wide) that says whether a text about a film is positive or negative, fills"
    yield "`[MASK]`, and gives vectors. Vocabulary, pre-training, distillation and fine-tuning were made by bertref's"
    yield f"own commands (version {__version__}): `python -m bertref.default_model.training`, seed {seed}."


def _data(figures: Figures, teacher: str) -> Iterator[str]:
    counts = figures["counts"]
    yield from ("## Data", "")
    yield "- Large Movie Review data (Maas et al. 2011), the training half, split by film: to learn from"
    yield f"  {counts['fit']:,} labelled and {counts['unlabelled']:,} unlabelled reviews, to stop and to calibrate by"
    yield f"  {counts['tune']:,}, to report on {counts['report']:,}, read once. No film and no text is in two of these."
    yield f"- SST-2 (Socher et al. 2013): {counts['short']:,} phrases of its training part."
    yield f"- Teacher, for training only: {teacher}, fine-tuned on the labelled texts."
    yield "- Both data sets are offered for research. The weights are under bertref's licence, Apache-2.0."


def _results(figures: Figures) -> Iterator[str]:
    labels, counts = figures["confusion"]["labels"], figures["confusion"]["counts"]
    columns = ("report-windows", "report-both-ends")
    yield from ("## Results on the reviews to report on", "", "| | through windows | both ends, cut |", "|---|---|---|")
    for name in SHOWN:
        if name in figures["results"]["report-windows"]["metrics"]:
            yield f"| {name} | {' | '.join(value(name, figures, part) for part in columns)} |"
    yield from ("", "In brackets: 95 % intervals by bootstrap over reviews. Films differ more than that: accuracy on")
    yield f"the reviews to stop by, of other films, is {figures['tuned']['accuracy']:.4f}. Calibration error"
    yield f"({figures['bins']} bins): {figures['calibration error']:.4f}, after"
    yield f"dividing the logits by {figures['temperature']:.3f}, which is folded into the classifier."
    yield from ("", f"| is \\ said | {labels[0]} | {labels[1]} |", "|---|---|---|")
    yield from (f"| {label} | {row[0]:,} | {row[1]:,} |" for label, row in zip(labels, counts, strict=True))
    base = ", ".join(f"{share:.4f} with {name}" for name, share in figures["baselines"].items())
    yield from ("", f"TF-IDF and logistic regression on the same split: {base}.", "")
    yield from _shares("words", figures["by length"], lambda x: f"{x:,}" if x < 10**9 else "more")
    yield ""
    yield from _shares("confidence", figures["by confidence"], lambda x: f"{x:.2f}")


def _others(figures: Figures) -> Iterator[str]:
    before, after = figures["words"]["words-before"], figures["words"]["words-after"]
    yield from ("## Other results", "")
    yield f"- SST-2's development part: accuracy {value('accuracy', figures, 'report-phrases')}"
    yield f"- forty short sentences, written before the training: {value('accuracy', figures, 'report-sentences')}"
    yield f"- masked words of held-out reviews: loss {after['masked_lm_loss']:.3f}; before fine-tuning"
    yield f"  {before['masked_lm_loss']:.3f}, by the words' frequency {after['unigram_loss']:.3f}"


def _limits(figures: Figures) -> Iterator[str]:
    yield from ("## Limits", "")
    yield "It knows films, in English, and two answers. Irony, comparisons and reviews that tell a plot mislead it."
    yield from ("Among its surest mistakes:", "")
    for record in (*figures["worst"], *figures["wrong sentences"]):
        yield f"- {record['prediction']} ({record['confidence']:.3f}), but {record['truth']}: {_short(record['text'])}"


def _training(figures: Figures) -> Iterator[str]:
    machine = figures["machine"]
    stages = ", ".join(f"{name} {minutes:.0f} min" for name, minutes in figures["minutes"].items() if minutes >= 1)
    yield from ("## Training", "", f"On {machine['cores']} cores of {machine['cpu']}: {stages}.")


def value(name: str, figures: Figures, part: str) -> str:
    """A metric, with its interval if there is one."""
    found = figures["results"][part]
    interval = found.get("intervals", {}).get(name)
    between = f" ({_number(interval['low'])} to {_number(interval['high'])})" if interval else ""
    return f"{_number(found['metrics'][name])}{between}"


def _number(found: float | None) -> str:
    return "undefined" if found is None else f"{found:.4f}"


def _shares(what: str, rows: Sequence[dict[str, Any]], shown: Callable[[float], str]) -> Iterator[str]:
    yield from (f"| {what} | reviews | accuracy |", "|---|---|---|")
    for row in rows:
        share = "" if row["accuracy"] is None else f"{row['accuracy']:.4f}"
        yield f"| {shown(row['from'])} to {shown(row['to'])} | {row['texts']:,} | {share} |"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
