"""Pre-training instances as the original's script makes them, drawn from `random.Random(seed)`.

The algorithm of google-research/bert, `create_pretraining_data.py` at its last commit (eedf5716, 2020-03-11), on lists
of token strings as there; what bertref does with spans of token numbers is checked against it. The corpus was written
for this golden and is tokenised already: `##` marks a piece that continues a word.
"""

import json
import random
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import common

NAME = "original_instances"
FORMAT_VERSION = 1

CORPUS = """
the old mill by the river had stood empty for year ##s .
no ##body re ##member ##ed who built it , or why the wheel was never turn ##ed again .
one morning a girl came down the path with a lan ##tern in her hand .
she had read of the mill in a letter that her grand ##mother left be ##hind .
the door was open .
in ##side , dust lay over every ##thing like a second floor .
she held the light high and saw a name cut into the beam : her own .
that even ##ing the wheel began to turn .

a star is a ball of hot gas .
its light take ##s year ##s to reach us , and some of the star ##s we see are gone .
the sun is the near ##est of them .

rain .

to make bread you need flour , water , salt and time .
mix the flour and the water and let them rest for an hour , be ##fore you add the salt .
fold the dough four time ##s .
then wait .
when it has double ##d , shape it and wait once more , for pa ##tie ##nce is what make ##s a good loaf .
bake it hot .
do not cut it while it is warm , how ##ever hard that may be .

every map leave ##s some ##thing out , and that is what it is for , be ##cause a map that show ##ed every ##thing \
would be as large as the land and as hard to read .

ship ##s do not sink be ##cause of the water around them .
they sink be ##cause of the water that get ##s in ##side them .
so said the cap ##tain , who had lost two .
"""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@dataclass(frozen=True)
class Options:
    """The script's flags."""

    max_seq_length: int = 32
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    dupe_factor: int = 2
    do_whole_word_mask: bool = False
    random_seed: int = 12345


CASES = {
    "short sequences": Options(),
    "whole words": Options(do_whole_word_mask=True),
    "many lengths": Options(max_seq_length=48, short_seq_prob=0.6, masked_lm_prob=0.3, random_seed=1),
    "few predictions": Options(max_seq_length=64, max_predictions_per_seq=2, dupe_factor=3, random_seed=2),
    "whole words, few predictions": Options(
        max_seq_length=64, max_predictions_per_seq=3, masked_lm_prob=0.5, do_whole_word_mask=True, random_seed=3
    ),
    "long sequences": Options(max_seq_length=128, short_seq_prob=0.5, dupe_factor=4, random_seed=4),
}
ONE_DOCUMENT = Options(dupe_factor=3, random_seed=5)

Document = list[list[str]]


def read(corpus: str) -> list[Document]:
    """Documents of sentences of tokens."""
    documents: list[Document] = [[]]
    for line in corpus.split("\n"):
        if not line.strip():
            documents.append([])
        else:
            documents[-1].append(line.split())
    return [document for document in documents if document]


def make_instances(documents: list[Document], vocabulary: list[str], options: Options) -> list[dict[str, Any]]:
    """All instances, in the order in which the script writes them."""
    rng = random.Random(options.random_seed)
    documents = list(documents)
    rng.shuffle(documents)
    instances = []
    for _ in range(options.dupe_factor):
        for index in range(len(documents)):
            instances += from_document(documents, index, vocabulary, options, rng)
    rng.shuffle(instances)
    return instances


def from_document(
    documents: list[Document], index: int, vocabulary: list[str], options: Options, rng: random.Random
) -> list[dict[str, Any]]:
    """The instances of one document, once."""
    document = documents[index]
    most = options.max_seq_length - 3
    target = most
    if rng.random() < options.short_seq_prob:
        target = rng.randint(2, most)

    instances = []
    chunk: list[list[str]] = []
    length = 0
    i = 0
    while i < len(document):
        chunk.append(document[i])
        length += len(document[i])
        if i == len(document) - 1 or length >= target:
            a_end = 1
            if len(chunk) >= 2:
                a_end = rng.randint(1, len(chunk) - 1)
            tokens_a = [token for sentence in chunk[:a_end] for token in sentence]
            tokens_b: list[str] = []
            if len(chunk) == 1 or rng.random() < 0.5:
                is_random_next = True
                tokens_b = random_second(documents, index, target - len(tokens_a), rng)
                i -= len(chunk) - a_end
            else:
                is_random_next = False
                tokens_b = [token for sentence in chunk[a_end:] for token in sentence]
            truncate(tokens_a, tokens_b, most, rng)
            tokens = ["[CLS]", *tokens_a, "[SEP]", *tokens_b, "[SEP]"]
            instances.append(
                {
                    **mask(tokens, vocabulary, options, rng),
                    "segment_ids": "0" * (len(tokens_a) + 2) + "1" * (len(tokens_b) + 1),
                    "is_random_next": is_random_next,
                }
            )
            chunk = []
            length = 0
        i += 1
    return instances


def random_second(documents: list[Document], index: int, wanted: int, rng: random.Random) -> list[str]:
    """Sentences of another document from a random one on."""
    for _ in range(10):
        other = rng.randint(0, len(documents) - 1)
        if other != index:
            break
    sentences = documents[other]
    tokens: list[str] = []
    for sentence in sentences[rng.randint(0, len(sentences) - 1) :]:
        tokens += sentence
        if len(tokens) >= wanted:
            break
    return tokens


def truncate(tokens_a: list[str], tokens_b: list[str], most: int, rng: random.Random) -> None:
    """Cuts both lists in place."""
    while len(tokens_a) + len(tokens_b) > most:
        longer = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def mask(tokens: list[str], vocabulary: list[str], options: Options, rng: random.Random) -> dict[str, Any]:
    """The tokens after masking, and what was masked."""
    candidates: list[list[int]] = []
    for i, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        if options.do_whole_word_mask and candidates and token.startswith("##"):
            candidates[-1].append(i)
        else:
            candidates.append([i])
    rng.shuffle(candidates)

    output = list(tokens)
    wanted = min(options.max_predictions_per_seq, max(1, round(len(tokens) * options.masked_lm_prob)))
    masked: list[tuple[int, str]] = []
    for word in candidates:
        if len(masked) >= wanted:
            break
        if len(masked) + len(word) > wanted:
            continue
        for i in word:
            if rng.random() < 0.8:
                output[i] = "[MASK]"
            elif rng.random() < 0.5:
                output[i] = tokens[i]
            else:
                output[i] = vocabulary[rng.randint(0, len(vocabulary) - 1)]
            masked.append((i, tokens[i]))
    masked.sort()
    return {
        "tokens": " ".join(output),
        "masked_lm_positions": [i for i, _ in masked],
        "masked_lm_labels": " ".join(label for _, label in masked),
    }


def content() -> bytes:
    """The file."""
    documents = read(CORPUS)
    vocabulary = SPECIAL + sorted({token for document in documents for sentence in document for token in sentence})
    longest = max(documents, key=len)
    corpora = {name: (documents, options) for name, options in CASES.items()}
    corpora["one document"] = ([longest], ONE_DOCUMENT)
    corpora["one document, whole words"] = ([longest], replace(ONE_DOCUMENT, do_whole_word_mask=True))
    golden = {
        "format_version": FORMAT_VERSION,
        "source": "google-research/bert create_pretraining_data.py at eedf5716 (2020-03-11), re-implemented on token "
        "lists; random numbers from Python's random.Random(random_seed)",
        "vocabulary": " ".join(vocabulary),
        "cases": [
            {
                "name": name,
                "options": asdict(options),
                "documents": [[" ".join(sentence) for sentence in document] for document in corpus],
                "instances": make_instances(corpus, vocabulary, options),
            }
            for name, (corpus, options) in corpora.items()
        ],
    }
    return (json.dumps(golden, indent=1, ensure_ascii=False) + "\n").encode()


def generate() -> None:
    """Makes the golden."""
    common.write(
        NAME,
        content(),
        suffix=".json",
        oracle="the published algorithm on lists of token strings, without spans and without bertref; the script in "
        "bert-tensorflow 1.0.4, which has no whole-word masking, was run on the same tokens and gives the same",
        libraries=(),
        tolerances={
            "int64": (0.0, "choices, not measurements: every token, position and label is the same or wrong")
        },
    )
