"""The data of the default model: reviews, split by film so that what is judged was never learnt from.

    aclImdb/train/{pos,neg,unsup}, urls_pos.txt, urls_neg.txt    the Large Movie Review data (Maas et al. 2011)
    SST-2/{train,dev}.tsv                                        phrases of reviews (Socher et al. 2013)

    fit.jsonl     reviews of 80 % of the films, with "text", "label" and "film"
    tune.jsonl    of 10 %: early stopping, temperature
    report.jsonl  of 10 %: read once, at the end
    phrases.jsonl the development part of the phrases, which is judged as well
    labelled.jsonl  fit and phrases: what the teacher learns
    taught.jsonl    fit, phrases, and unlabelled reviews: what the student is taught on
    corpus.txt    fit and unlabelled: vocabulary and masked words; a review a paragraph
    tune.txt      the reviews of tune: the held-out loss of masked words

Reviews come twice in these data: 96 texts of the labelled half, and several hundred of the unlabelled half stand word
for word in the labelled one. A text of report stays nowhere else, one of tune neither in fit nor among the unlabelled.
Texts are taken for one that differ in case, white space and punctuation only.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...data.tasks.examples import TextExample
from ...data.tasks.glue import glue_part
from ...data.tasks.text_folders import folder_part
from ...errors import InputError
from ...plumbing.files import write_file
from ...rng import generator
from .rows import write_rows

SHARE = 0.1
"""Of the films, for tune and for report."""
SEED = 2018
SENTIMENTS = {"0": "neg", "1": "pos"}
"""SST-2's labels as the reviews have them."""

Row = dict[str, str]


def clean(text: str) -> str:
    """A review as one line, without the line breaks that are written in HTML."""
    return " ".join(text.replace("<br />", " ").split())


def key(text: str) -> str:
    """What two texts have in common that are the same but for case, white space and punctuation."""
    return "".join(char for char in text.lower() if char.isalnum())


def split_by_film(films: Iterable[str]) -> dict[str, str]:
    """Film -> "fit", "tune" or "report"; the same for the same films in any order."""
    names = sorted(set(films))
    if len(names) < 3:
        raise InputError(f"{len(names)} films can't be split into three parts")
    count = max(1, round(SHARE * len(names)))
    drawn = [names[i] for i in generator(SEED, "held_out").permutation(len(names)).tolist()]
    report, tune, fit = drawn[:count], drawn[count : 2 * count], drawn[2 * count :]
    return dict.fromkeys(report, "report") | dict.fromkeys(tune, "tune") | dict.fromkeys(fit, "fit")


def write_data(reviews: Path, phrases: Path, out: Path, *, taught_share: int = 1) -> dict[str, int]:
    """Writes all files into `out`; part -> its number of texts. One in `taught_share` unlabelled reviews is taught on.

    Raises `InputError` for folders that are not laid out as above.
    """
    labelled = list(_labelled(reviews))
    parts = split_by_film(row["film"] for row in labelled)
    rows: dict[str, list[Row]] = {"report": [], "tune": [], "fit": []}
    seen: set[str] = set()
    for part, kept in rows.items():  # in this order: a text belongs to the first of them
        _keep(kept, (row for row in labelled if parts[row["film"]] == part), seen)
    rows["phrases"] = list(_phrases(phrases, "dev"))
    judged = {key(row["text"]) for part in ("report", "tune", "phrases") for row in rows[part]}
    unlabelled: list[Row] = []
    _keep(unlabelled, _unlabelled(reviews), seen)
    short: list[Row] = []
    _keep(short, _phrases(phrases, "train"), set(judged))
    out.mkdir(parents=True, exist_ok=True)
    for part in rows:
        write_rows(out / f"{part}.jsonl", rows[part])
    write_rows(out / "labelled.jsonl", [*rows["fit"], *short])
    write_rows(out / "taught.jsonl", [*rows["fit"], *short, *unlabelled[::taught_share]])
    _write_text(out / "corpus.txt", [*rows["fit"], *unlabelled])
    _write_text(out / "tune.txt", rows["tune"])
    return {**{part: len(kept) for part, kept in rows.items()}, "unlabelled": len(unlabelled), "short": len(short)}


def _keep(kept: list[Row], rows: Iterable[Row], seen: set[str]) -> None:
    """Appends the rows whose texts were not seen before."""
    for row in rows:
        own = key(row["text"])
        if own and own not in seen:
            seen.add(own)
            kept.append(row)


def _labelled(reviews: Path) -> Iterator[Row]:
    for example in folder_part("train", reviews / "train").read():
        assert isinstance(example, TextExample)
        if example.group is None:
            raise InputError(f"{reviews}: urls_pos.txt and urls_neg.txt are missing; reviews are split by film")
        yield {"text": clean(example.text), "label": str(example.label), "film": example.group}


def _unlabelled(reviews: Path) -> Iterator[Row]:
    folder = reviews / "train" / "unsup"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; the unlabelled reviews are expected there")
    for path in sorted(folder.glob("*.txt"), key=lambda path: int(path.name.partition("_")[0])):
        yield {"text": clean(path.read_text(encoding="utf-8"))}


def _phrases(folder: Path, part: str) -> Iterator[Row]:
    for example in glue_part("sst-2", part, folder / f"{part}.tsv").read():
        assert isinstance(example, TextExample)
        yield {"text": clean(example.text), "label": SENTIMENTS[str(example.label)]}


def _write_text(path: Path, rows: Iterable[Row]) -> None:
    """A review a paragraph, on one line."""
    write_file(path, "".join(row["text"] + "\n\n" for row in rows).encode())
