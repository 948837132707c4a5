"""The readable tokenizer: golden texts, stored references, and mutants that the goldens must reject."""

import json
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertref.errors import InputError
from bertref.text import FullTokenizer, Vocab, WordpieceTokenizer, validate_case_matches_checkpoint
from bertref.text.basic import clean_char, is_accent, split_on_punctuation

ORIGINAL = Vocab(("[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", ","))

PIECES = Vocab(
    tuple(
        str.split(
            "[PAD] [UNK] [CLS] [SEP] [MASK] this here ' s an example of using the bert token ##izer . ! want "
            "##want ##ed wa un runn ##ing , ah 博 推 zz οσα οδος he ##llo Un He ##LL ete é ##t ##é"
        )
    )
)

Pipeline = Callable[[str, bool], list[str]]

# (lower-case, text, pieces): written by hand from the original's rules.
GOLDENS = [
    (True, "This here's an example of using the BERT tokenizer",
     "this here ' s an example of using the bert token ##izer"),
    (True, "UNwant\u00e9d,running", "un ##want ##ed , runn ##ing"),
    (True, "unwantedX running", "[UNK] runn ##ing"),
    (True, "ah\u535a\u63a8zz", "ah 博 推 zz"),
    (True, "\u00c9t\u00e9!", "ete !"),
    (False, "\u00e9t\u00e9", "é ##t ##é"),
    (False, "HeLL UN", "He ##LL [UNK]"),
    (True, "ΟΣ\u0007Α ΟΔΟΣ", "οσα οδος"),
    (True, "wa\u200bnt the\ue000", "want [UNK]"),
]  # fmt: skip


def accepts(tokenize: Pipeline) -> bool:
    """Whether a tokenizer passes the goldens."""
    return all(tokenize(text, lower) == pieces.split() for lower, text, pieces in GOLDENS)


def pipeline(
    *,
    order: str = "clean, lower",
    lower: Callable[[bool], bool] = lambda lower: lower,
    accents: Callable[[str], str] = lambda word: "".join(
        char for char in unicodedata.normalize("NFD", word) if not is_accent(char)
    ),
    punctuation: Callable[[str], list[str]] = split_on_punctuation,
    chinese: bool = True,
    control: Any = "Cc+Cf",
    wordpiece: Callable[[str], list[str]] | None = None,
) -> Pipeline:
    """The whole algorithm with every step replaceable."""
    wordpiece = wordpiece or WordpieceTokenizer(PIECES.ids).pieces

    def tokenize(text: str, lower_case: bool) -> list[str]:
        lower_case = lower(lower_case)
        if order == "lower, clean" and lower_case:
            text = text.lower()
        text = "".join(clean_char(char, control, chinese) for char in text)
        words: list[str] = []
        for word in text.split():
            if lower_case:
                word = accents(word.lower())
            words += punctuation(word)
        return [piece for word in words for piece in wordpiece(word)]

    return tokenize


def keeps_pieces_before_unknown(word: str) -> list[str]:
    """The document's WordPiece: on failure [UNK] comes after the pieces that were found."""
    pieces: list[str] = []
    while word:
        for end in range(len(word), 0, -1):
            piece = ("##" if pieces else "") + word[:end]
            if piece in PIECES.ids:
                pieces.append(piece)
                word = word[end:]
                break
        else:
            return [*pieces, "[UNK]"]
    return pieces


def ascii_only(word: str) -> list[str]:
    """Punctuation that belongs to words unless it ends them."""
    return [word[:-1], word[-1]] if word[-1] in ",.!" and len(word) > 1 else [word]


MUTANTS = {
    "lower-cases before it cleans": {"order": "lower, clean"},
    "always lower-cases": {"lower": lambda lower: True},
    "never lower-cases": {"lower": lambda lower: False},
    "keeps accents": {"accents": lambda word: word},
    "composes instead of decomposing": {"accents": lambda word: unicodedata.normalize("NFC", word)},
    "splits no punctuation": {"punctuation": lambda word: [word]},
    "splits final punctuation only": {"punctuation": ascii_only},
    "does not space ideographs": {"chinese": False},
    "drops private use": {"control": "C"},
    "keeps the pieces before [UNK]": {"wordpiece": keeps_pieces_before_unknown},
}


def test_the_readable_tokenizer_passes() -> None:
    tokenizers = {lower: FullTokenizer(PIECES, lower) for lower in (True, False)}
    assert accepts(lambda text, lower: tokenizers[lower].tokenize(text))
    assert accepts(pipeline())


@pytest.mark.parametrize("name", MUTANTS)
def test_the_goldens_reject(name: str) -> None:
    assert not accepts(pipeline(**MUTANTS[name]))


def test_the_original_vector_and_its_ids() -> None:
    tokenizer = FullTokenizer(ORIGINAL)
    pieces = tokenizer.tokenize("UNwant\u00e9d,running")
    assert pieces == ["un", "##want", "##ed", ",", "runn", "##ing"]
    assert tokenizer.convert_tokens_to_ids(pieces) == [7, 4, 5, 10, 8, 9]
    assert tokenizer.convert_ids_to_tokens([7, 4, 5, 10, 8, 9]) == pieces


def test_what_is_not_in_the_vocabulary_is_refused(tmp_path: Path) -> None:
    tokenizer = FullTokenizer(ORIGINAL)
    with pytest.raises(InputError, match="no zebra"):
        tokenizer.convert_tokens_to_ids(["want", "zebra"])
    with pytest.raises(InputError, match="id 11 at position 1"):
        tokenizer.convert_ids_to_tokens([0, 11])
    with pytest.raises(InputError, match="id -1"):
        tokenizer.convert_ids_to_tokens([-1])
    (tmp_path / "v.txt").write_text("a\n")
    with pytest.raises(InputError, match=r"v\.txt.*\[UNK\]"):
        FullTokenizer(tmp_path / "v.txt")


def test_published_vocabulary(bert_vocab: Vocab) -> None:
    tokenizer = FullTokenizer(bert_vocab)
    pieces = tokenizer.tokenize("This here's an example of using the BERT tokenizer")
    assert pieces == str.split("this here ' s an example of using the bert token ##izer")
    encode = tokenizer.encode
    assert encode("The acting was a bit lacking").input_ids == [101, 1996, 3772, 2001, 1037, 2978, 11158, 102]
    assert encode("The film was creative and surprising").input_ids == [
        101,
        1996,
        2143,
        2001,
        5541,
        1998,
        11341,
        102,
    ]
    assert encode("Absolutely fantastic!").input_ids == [101, 7078, 10392, 999, 102]


def load_parity(data_dir: Path) -> tuple[list[dict[str, Any]], list[list[int]]]:
    with tarfile.open(data_dir / "data" / "tokenizer_parity.tar.gz") as archive:
        files = [
            archive.extractfile(f"tokenizer_parity/{name}.json")
            for name in ("question_tokens", "tokenized_questions")
        ]
        questions, ids = (json.loads(file.read()) for file in files if file)
    return questions, ids


def test_questions_words_pieces_and_ids(bert_vocab: Vocab, data_dir: Path) -> None:
    questions, ids = load_parity(data_dir)
    assert len(questions) == len(ids) == 10570
    tokenizer = FullTokenizer(bert_vocab)
    for question, expected in zip(questions, ids, strict=True):
        words = tokenizer.basic.tokenize(question["original"])
        assert words == question["basic"]
        pieces = [piece for word in words for piece in tokenizer.wordpiece.pieces(word)]
        assert pieces == question["wordpiece"]
        assert tokenizer.convert_tokens_to_ids(pieces) == expected


def test_specials_in_the_text(small_vocab: Vocab) -> None:
    tokenizer = FullTokenizer(small_vocab)
    assert tokenizer.tokenize("the [MASK].") == ["the", "[", "mask", "]", "."]
    assert tokenizer.tokenize("the[MASK].", specials=True) == ["the", "[MASK]", "."]
    assert tokenizer.tokenize("[mask]", specials=True) == ["[", "mask", "]"]
    without = Vocab(tuple(token for token in small_vocab.tokens if token != "[MASK]"))
    assert FullTokenizer(without).tokenize("the[MASK].", specials=True) == ["the", "[", "mask", "]", "."]


@pytest.mark.parametrize(
    ("lower", "path", "fits"),
    [
        (True, "models/uncased_L-12_H-768_A-12/bert_model.ckpt", True),
        (False, "models/uncased_L-12_H-768_A-12/bert_model.ckpt", False),
        (False, "models/chinese_L-12_H-768_A-12/bert_model.ckpt", False),
        (True, "cased_L-24_H-1024_A-16/bert_model.ckpt", False),
        (True, Path("a/multi_cased_L-12_H-768_A-12/bert_model.ckpt"), False),
        (False, "cased_L-24_H-1024_A-16/bert_model.ckpt-100", True),
        (True, "my_own/bert_model.ckpt", True),
        (False, "uncased_L-12_H-768_A-12/model.safetensors", True),
        (False, None, True),
        (False, "", True),
    ],
)
def test_case_and_checkpoint(lower: bool, path: str | Path | None, fits: bool) -> None:
    if fits:
        validate_case_matches_checkpoint(lower, path)
    else:
        with pytest.raises(InputError, match="lower_case is " + str(lower)):
            validate_case_matches_checkpoint(lower, path)
