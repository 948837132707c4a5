"""Learning a tokenizer from text, of each kind that is run here.

    kind        family     learnt by
    ----------  ---------  --------------------------------------------------------------------------------------------
    wordpiece   BERT       pairs of pieces that are joined, inside words (see `training`)
    byte-level  RoBERTa    the same of bytes, a word with the space before it
    unigram     ALBERT     a likelihood: many pieces at first, and the ones that it can best do without are dropped

The trainers are those of the `tokenizers` library. That of unigram models leaves two things to chance: it sums in an
order that changes from run to run, which moves scores by 1e-15, and it hands out the scores of rare characters in the
order of a hash table. Here scores are rounded and those of rare characters follow the code points, so that the same
texts give the same vocabulary. (Two pieces whose loss is equal to 1e-15 may still change places where room ends.)

Sources: Sennrich et al. 2016; Kudo 2018, section 3.2.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

from ..errors import BertrefError, InputError
from .basic import to_unicode
from .byte_level import BYTES, byte_level_model, byte_level_parts
from .families import FAMILIES
from .library_file import Json, library_of
from .library_folder import library_file
from .library_pieces import LibraryPieces
from .notation import ALBERT, ROBERTA
from .tokenizer import Tokenizer
from .training import train_vocab
from .unigram import unigram_library, unigram_steps
from .vocab import has_surrogate

Kind = Literal["wordpiece", "byte-level", "unigram"]
DIGITS = 9
"""Decimal places of a unigram model's scores."""
STEP = 1e-4
"""Between the scores that the library gives to rare characters."""


def train_tokenizer(
    texts: Iterable[str | bytes], size: int, kind: str = "wordpiece", *, lower_case: bool = True, min_frequency: int = 2
) -> Tokenizer:
    """A tokenizer of at most `size` tokens; `texts` are read once.

    lower_case     of word pieces and unigram models, which then drop accents, too; bytes are taken as they are
    min_frequency  a pair seen less often makes no piece; unigram models have no such number

    Raises `InputError` for an unknown kind, without text, and for a size that is too small.
    """
    if kind not in get_args(Kind):
        raise InputError(f"the kind of vocabulary is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
    if kind == "wordpiece":
        vocab = train_vocab(texts, size, lower_case=lower_case, min_frequency=min_frequency)
        return Tokenizer(vocab, lower_case=lower_case)
    filled = (text for text in map(to_unicode, texts) if text.strip() and not has_surrogate(text))
    return _byte_level(filled, size, min_frequency) if kind == "byte-level" else _unigram(filled, size, lower_case)


def _byte_level(texts: Iterator[str], size: int, min_frequency: int) -> Tokenizer:
    """Ids as fairseq has them: <s>, <pad>, </s>, <unk>, bytes, merged pieces, <mask>. A text begins like a word within
    one (add_prefix_space), so that a word has one spelling."""
    least = len(BYTES) + len(ROBERTA.names)
    _check_size(size, least, "bytes and special tokens")
    import tokenizers

    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size - 1, min_frequency=min_frequency, show_progress=False, initial_alphabet=list(BYTES),
        special_tokens=[ROBERTA.cls, ROBERTA.pad, ROBERTA.sep, ROBERTA.unk],
    )  # fmt: skip
    parts = byte_level_parts(ROBERTA, {ROBERTA.cls: 0, ROBERTA.sep: 2}, add_prefix_space=True, trim_offsets=True)
    model = _trained(tokenizers.models.BPE(), parts, trainer, texts)
    vocab = {**model["vocab"], ROBERTA.mask: len(model["vocab"])}
    return _made(library_of(parts, byte_level_model(vocab, model["merges"])), "roberta")


def _unigram(texts: Iterator[str], size: int, lower_case: bool) -> Tokenizer:
    """Ids as ALBERT has them: <pad>, <unk>, [CLS], [SEP], [MASK], then pieces, the likeliest first."""
    least = len(ALBERT.names) + 2
    _check_size(size, least, "special tokens and two pieces")
    import tokenizers

    case = {"lower_case": lower_case, "keep_accents": not lower_case, "add_prefix_space": True, "quotes": True}
    special = [ALBERT.pad, ALBERT.unk, ALBERT.cls, ALBERT.sep, ALBERT.mask]
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=size, show_progress=False, special_tokens=special, unk_token=ALBERT.unk
    )
    model = _trained(tokenizers.models.Unigram(), unigram_steps(None, **case), trainer, texts)
    found = _settled({piece: round(score, DIGITS) for piece, score in model["vocab"][len(special) :]})
    pieces = [(name, 0.0) for name in special] + sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
    return _made(unigram_library(pieces, special.index(ALBERT.unk), None, ALBERT, **case), "albert")


def _settled(scores: dict[str, float]) -> dict[str, float]:
    """The scores with those of rare characters, which no longer piece brought along, in the order of code points. They
    are the lowest score of all, and `STEP` more for each further character."""
    lowest = min(scores.values())
    steps = {piece: (score - lowest) / STEP for piece, score in scores.items() if len(piece) == 1}
    rare = sorted(piece for piece, step in steps.items() if step < len(scores) and abs(step - round(step)) < 1e-3)
    return scores | dict(zip(rare, sorted((scores[piece] for piece in rare), reverse=True), strict=True))


def _trained(model: Any, steps: Json, trainer: Any, texts: Iterator[str]) -> Json:
    """The model after training, in the form of a `tokenizer.json`; `steps` say how texts come to it."""
    import tokenizers

    first = next(texts, None)
    if first is None:
        raise InputError("there is no text to learn a vocabulary from")
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    library = tokenizers.Tokenizer.from_str(json.dumps(library_of(steps, empty)))
    library.model = model
    try:
        library.train_from_iterator(itertools.chain([first], texts), trainer)
    except BertrefError:
        raise  # of whoever reads the texts
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"no vocabulary can be learnt from this text: {error}") from None
    trained: Json = json.loads(library.to_str())["model"]
    return trained


def _made(library: Json, model_type: str) -> Tokenizer:
    family = next(family for family in FAMILIES if family.model_type == model_type)
    file = library_file(library, family.notation, {}, "trained vocabulary", family)
    return Tokenizer.of(LibraryPieces(file))


def _check_size(size: int, least: int, what: str) -> None:
    if size < least:
        raise InputError(f"a vocabulary of {size} tokens is too small; the {what} take {least}")
