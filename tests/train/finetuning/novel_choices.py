"""A set in SWAG's form, made of novels: which of four sentences comes next?

    python -m tests.train.finetuning.novel_choices english_novels.tar.gz OUT [--train N] [--dev N] [--seed N]

writes OUT/train.csv and OUT/dev.csv: the true next sentence among four, the three others from elsewhere in the same
novel; no novel is in both. The same seed and sizes make the same files.
"""

import argparse
import csv
import random
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bertref.data.pretraining.documents import read_documents

WORDS = range(4, 31)
"""Words of a sentence that is used."""
ELSEWHERE = 20
"""Sentences at least between a context and a wrong choice."""
DEV_SHARE = 5
"""One novel of so many is for development."""
HEADER = ("video-id", "sent1", "sent2", *(f"ending{i}" for i in range(4)), "label")


def make(
    archive: Path, out: Path, *, train: int = 2000, dev: int = 500, novels: int | None = None, seed: int = 1
) -> dict[str, list[str]]:
    """Writes both files, of all novels or of some of them; returns the novels of each part.

    Raises `ValueError` if there are fewer than two novels, or they have too few sentences.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as tar:
        names = sorted(member.name for member in tar if member.isfile() and member.name.endswith(".txt"))
        rng.shuffle(names)
        names = names[:novels]
        if len(names) < 2:
            raise ValueError(f"{archive}: {len(names)} novels; at least two are needed, one for each part")
        some = max(1, len(names) // DEV_SHARE)
        parts = {"dev": names[:some], "train": names[some:]}
        wanted = set(names)
        tar.extractall(folder, [member for member in tar if member.name in wanted], filter="data")
        out.mkdir(parents=True, exist_ok=True)
        for part, count in (("train", train), ("dev", dev)):
            texts = {Path(name).stem: sentences(Path(folder) / name) for name in parts[part]}
            write(out / f"{part}.csv", examples(texts, count, rng))
    return parts


def sentences(path: Path) -> list[str]:
    """All sentences of a novel, in order."""
    return [" ".join(sentence.split()) for document in read_documents([path]) for sentence in document.sentences]


def examples(texts: Mapping[str, Sequence[str]], count: int, rng: random.Random) -> list[tuple[str, ...]]:
    """`count` rows, of all novels in turn as far as they go."""
    places = [[(name, i) for i in _usable(text)] for name, text in texts.items()]
    for some in places:
        rng.shuffle(some)
    longest = max(map(len, places))
    in_turn = [some[i] for i in range(longest) for some in places if i < len(some)]
    if len(in_turn) < count:
        raise ValueError(f"{len(texts)} novels have {len(in_turn)} usable places; {count} examples are asked for")
    return [_example(name, texts[name], i, rng) for name, i in in_turn[:count]]


def _usable(text: Sequence[str]) -> list[int]:
    """Where a sentence and the next one have a usual length, in a text that has enough others elsewhere."""
    fits = [len(sentence.split()) in WORDS for sentence in text]
    if len({sentence for sentence, fit in zip(text, fits, strict=True) if fit}) < 4 * ELSEWHERE:
        return []
    return [i for i in range(len(text) - 1) if fits[i] and fits[i + 1]]


def _example(name: str, text: Sequence[str], place: int, rng: random.Random) -> tuple[str, ...]:
    choices = [text[place + 1]]
    while len(choices) < 4:
        other = rng.randrange(len(text))
        if abs(other - place) > ELSEWHERE and len(text[other].split()) in WORDS and text[other] not in choices:
            choices.append(text[other])
    right = rng.randrange(4)
    choices[0], choices[right] = choices[right], choices[0]
    return (name, text[place], "", *choices, str(right))


def write(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--dev", type=int, default=500)
    parser.add_argument("--novels", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parts = make(**vars(parser.parse_args()))
    for part, names in parts.items():
        print(f"{part}: {len(names)} novels")


if __name__ == "__main__":
    main()
