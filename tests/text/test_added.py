"""Added tokens: found where the `tokenizers` library and transformers find them, by every form of the tokenizer."""

import json
import pickle
import random
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from bertref.errors import InputError
from bertref.text import SPECIAL_TOKENS, AddedToken, BasicTokenizer, FullTokenizer, Piece, Tokenizer, Vocab
from bertref.text.added import WHITE_SPACE, AddedTokens, Finder, is_word_char
from bertref.text.bulk import mark, marked_id

from .test_bulk import CHARACTERS

tokenizers = pytest.importorskip("tokenizers")

ALPHABET = "abAB<>[]é\u0301一 \t\n.-_1\u200b\x01\x0e\x0f\0"
WORDS = ("a", "b", "##a", "##b", "ab", "<", ">", "[", "]", "e", "##e", "一", ".", "-", "_", "1", "##1", "[A]", "<a>")
BASE = Vocab((*SPECIAL_TOKENS, *WORDS))
SPELLINGS = st.one_of(
    st.text(ALPHABET, min_size=1, max_size=4),
    st.sampled_from(["a", "ab", "aba", "<a>", "[A]", " b", "b ", "[MASK]", "É"]),
)
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@st.composite
def vocabularies(draw: Any) -> Vocab:
    """`BASE` and up to six added tokens."""
    spelt = draw(st.lists(SPELLINGS.filter(lambda spelling: "\0" not in spelling), unique=True, max_size=6))
    tokens, behind = [], len(BASE)
    for content in spelt:
        flags = {name: draw(st.booleans()) for name in FLAGS}
        number = BASE.ids.get(content, behind)
        behind += number == behind
        tokens.append(AddedToken(content, number, **flags))
    return BASE.extended(tokens, "test")


def library(vocab: Vocab, *, lower_case: bool) -> Any:
    """The same tokenizer, made of the library's own parts."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(dict(vocab.pieces), unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lower_case)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    spelt = {token.content: token for token in vocab.found_whole(specials=True)}
    made.add_tokens([
        tokenizers.AddedToken(token.content, **{name: getattr(token, name) for name in FLAGS})
        for token in sorted(spelt.values(), key=lambda token: token.id)
    ])  # fmt: skip
    return made


def tokenizer_of(vocab: Vocab, lower_case: bool) -> Tokenizer | None:
    """None where a token is nothing once normalised, which is refused."""
    normalize = BasicTokenizer(lower_case).normalize
    if any(token.normalized and not normalize(token.content) for token in vocab.added):
        with pytest.raises(InputError, match="leaves nothing of it"):
            Tokenizer(vocab, lower_case=lower_case)
        return None
    return Tokenizer(vocab, lower_case=lower_case)


TEXT = st.lists(SPELLINGS | st.text(ALPHABET, max_size=5), max_size=8).map("".join)


@given(vocabularies(), TEXT, st.booleans())
@example(BASE.extended([AddedToken("<a>", 23, rstrip=True), AddedToken(" b", 24)], "test"), "<a>  b b", True)
@example(BASE.extended([AddedToken("aba", 24, single_word=True), AddedToken("ba", 25)], "test"), "baba aba.ba", True)
def test_the_library_finds_the_same(vocab: Vocab, text: str, lower_case: bool) -> None:
    tokenizer = tokenizer_of(vocab, lower_case)
    if tokenizer is None:
        return
    theirs = library(vocab, lower_case=lower_case).encode(text, add_special_tokens=False)
    pieces = tokenizer.locate(text)
    assert [piece.id for piece in pieces] == theirs.ids
    for piece, (start, end) in zip(pieces, theirs.offsets, strict=True):
        assert piece.start == start
        gone = text[end : piece.end]  # accents and control characters behind a piece are part of it here
        assert all(unicodedata.category(char) in ("Mn", "Cc", "Cf") for char in gone)


@given(vocabularies(), st.lists(TEXT | st.text(CHARACTERS, max_size=12), max_size=4), st.booleans(), st.booleans())
def test_all_forms_of_the_tokenizer_agree(vocab: Vocab, texts: list[str], lower_case: bool, specials: bool) -> None:
    tokenizer = tokenizer_of(vocab, lower_case)
    if tokenizer is None:
        return
    readable = FullTokenizer(vocab, lower_case)
    tokens = [readable.tokenize(text, specials=specials) for text in texts]
    assert [tokenizer.tokenize(text, specials=specials) for text in texts] == tokens
    located = [tokenizer.locate(text, specials=specials) for text in texts]
    assert [[vocab.tokens[piece.id] for piece in pieces] for pieces in located] == tokens
    framed = tokenizer.encode_batch(texts, specials=specials)
    assert framed == [readable.encode(text, specials=specials) for text in texts]
    if not specials:
        assert tokenizer.ids_batch(texts) == [encoding.input_ids[1:-1] for encoding in framed]
    for text, pieces in zip(texts, located, strict=True):
        assert all(0 <= piece.start < piece.end <= len(text) for piece in pieces)
        assert all(one.word <= other.word <= one.word + 1 for one, other in pairwise(pieces))


def test_places_and_words() -> None:
    entity, middle = AddedToken("[ENT]", 24, normalized=False), AddedToken("<m>", 26, lstrip=True, rstrip=True)
    tokenizer = Tokenizer(BASE.extended([entity, AddedToken("Ab", 25), middle], "test"))
    assert tokenizer.locate("b [ENT]xÁB  <m> a") == [
        Piece(BASE.ids["b"], 0, 1, 0), Piece(24, 2, 7, 1), Piece(BASE.unk, 7, 8, 2), Piece(25, 8, 10, 3),
        Piece(26, 10, 16, 4), Piece(BASE.ids["a"], 16, 17, 5),
    ]  # fmt: skip


def test_words_are_counted_and_white_space_is_taken_once() -> None:
    added = [AddedToken("<l>", 24, lstrip=True, normalized=False), AddedToken("<r>", 25, rstrip=True, normalized=False)]
    tokenizer = Tokenizer(BASE.extended(added, "test"))
    text = "aba  <r>  <l> b"
    theirs = library(tokenizer.vocab, lower_case=True).encode(text, add_special_tokens=False)
    pieces = tokenizer.locate(text)
    assert [(piece.start, piece.end) for piece in pieces] == theirs.offsets
    assert [piece.word for piece in pieces] == [0, 0, 1, 2, 3]
    assert [text[piece.start : piece.end] for piece in pieces] == ["ab", "a", "<r>  ", "<l>", "b"]


@pytest.mark.parametrize("stride", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_words_and_white_space_are_the_librarys(stride: int) -> None:
    """Every character of Unicode that Python's version of it knows."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokens = [tokenizers.AddedToken("#", single_word=True), tokenizers.AddedToken("@", lstrip=True)]
    made.add_tokens(tokens)
    for code in [*range(0x3000), *range(0x3000, sys.maxunicode, stride), *range(0x1F100, 0x1F200)]:
        char = chr(code)
        if char in "#@" or unicodedata.category(char) in ("Cn", "Cs"):
            continue
        assert is_word_char(char) == (1 not in made.encode(f"{char}#").ids), hex(code)
        assert (char in WHITE_SPACE) == (made.encode(f"a{char}@").offsets[-1][0] == 1), hex(code)


def test_thousands_of_tokens_are_found() -> None:
    draw = random.Random(0)
    spelt = {"".join(draw.choices("abc", k=draw.randint(1, 9))) for _ in range(5000)}
    tokens = AddedTokens([AddedToken(spelling, i) for i, spelling in enumerate(sorted(spelt))], str)
    text = "".join(draw.choices("abcd", k=20_000)) + "d" * 9
    at = 0
    for start, end, number in tokens.normalized.split(text):
        assert start == at
        at = end
        longest = next((length for length in range(9, 0, -1) if text[start : start + length] in spelt), None)
        assert (end - start == longest) if number is not None else longest is None
    assert at == len(text)


def test_nothing_to_find() -> None:
    assert not Finder([])
    assert list(Finder([]).split("ab")) == [(0, 2, None)]
    assert list(Finder([]).split("")) == []


@given(st.integers(0, 2**31 - 1))
def test_a_mark_holds_its_id(number: int) -> None:
    assert marked_id(mark(number)) == number
    assert not set(mark(number)) & set("".join(map(chr, range(0x10, 0x110))))


# ---------------------------------------------------------------------------------------------------------------------
# vocabularies


def test_a_vocabulary_keeps_pieces_and_added_tokens_apart() -> None:
    vocab = BASE.extended([AddedToken("[A]", 22), AddedToken("x y\n", 24), AddedToken("a b", 25)], "test")
    assert vocab.tokens[24:] == ("x y\n", "a b")
    assert (len(vocab), len(vocab.pieces)) == (26, 24)
    assert vocab.content == BASE.content
    assert vocab.sha256 != BASE.sha256
    assert vocab.sha256 != BASE.extended([AddedToken("[A]", 22)], "test").sha256
    assert pickle.loads(pickle.dumps(vocab)) == vocab
    assert vocab.extended([], "test") == BASE
    copy = pickle.loads(pickle.dumps(Tokenizer(vocab)))
    assert copy.ids_batch(["A B"]) == [[25]]


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ([AddedToken("x", 25)], "'x' has the id 25; the next that is free is 24"),
        ([AddedToken("x", 24), AddedToken("y", 24)], "'y' has the id 24; the next that is free is 25"),
        ([AddedToken("[MASK]", 24)], r"'\[MASK\]' has the id 24; its id is 4"),
        ([AddedToken("", 24)], "empty"),
        ([AddedToken("\ud800", 24)], "surrogate"),
        ([AddedToken("a\0", 24)], r"U\+0000"),
        ([AddedToken("x", 24), AddedToken("x", 24)], "twice"),
    ],
)
def test_ids_that_do_not_fit_are_refused(tokens: list[AddedToken], says: str) -> None:
    with pytest.raises(InputError, match="^file: .*" + says):
        BASE.extended(tokens, "file")


# ---------------------------------------------------------------------------------------------------------------------
# folders


def json_file(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


ENTITY = {"content": "[ENT]", **dict.fromkeys(FLAGS, False), "special": True}
SPECIALS = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "mask", "pad", "sep", "unk")}
FOLDERS: dict[str, dict[str, Any]] = {
    "added_tokens.json of a slow tokenizer": {
        "added_tokens.json": {"[ENT]": 24, "New": 25},
        "special_tokens_map.json": {**SPECIALS, "additional_special_tokens": ["[ENT]"]},
    },
    "added_tokens.json, named in the config": {
        "added_tokens.json": {"[ENT]": 25, "New": 24},
        "tokenizer_config.json": {**SPECIALS, "additional_special_tokens": ["[ENT]"]},
    },
    "added_tokens_decoder": {
        "tokenizer_config.json": {**SPECIALS, "added_tokens_decoder": {
            "4": {**ENTITY, "content": "[MASK]", "lstrip": True}, "24": ENTITY,
            "25": {**ENTITY, "content": "New", "normalized": True, "special": False, "single_word": True},
            "22": {**ENTITY, "content": "[A]", "rstrip": True},
        }},
        "added_tokens.json": {"not read": 99},
    },
    "special tokens without ids": {
        "tokenizer_config.json": {
            **SPECIALS, "eos_token": "[ENT]", "image_token": "<New>", "extra_special_tokens": ["<a>"],
        },
    },
    "objects in special_tokens_map.json": {
        "special_tokens_map.json": {
            **SPECIALS, "mask_token": {**ENTITY, "content": "[MASK]", "lstrip": True}, "bos_token": ENTITY,
            "additional_special_tokens": ["<a>"],
        },
    },
    "named extra tokens": {"tokenizer_config.json": {**SPECIALS, "extra_special_tokens": {"image": "[ENT]"}}},
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_are_read_as_transformers_reads_them(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    BASE.save(tmp_path / "vocab.txt")
    for file, values in FOLDERS[name].items():
        json_file(tmp_path / file, values)
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    draw = random.Random(0)
    parts = ["[ENT]", "[ent]", "New", "new", "NEW", "<New>", "<a>", "[A]", "[MASK]", "[mask]", " ", "a", "b", "."]
    texts = ["".join(draw.choices(parts, k=8)) for _ in range(60)]
    want = [theirs(text)["input_ids"] for text in texts]
    ours = Tokenizer.from_pretrained(tmp_path)
    assert [encoding.input_ids for encoding in ours.encode_batch(texts)] == want
    ours.save_pretrained(tmp_path / "again")
    again = Tokenizer.from_pretrained(tmp_path / "again")
    assert again.vocab.tokens == ours.vocab.tokens
    assert [encoding.input_ids for encoding in again.encode_batch(texts)] == want
    reopened = transformers.BertTokenizer.from_pretrained(tmp_path / "again")
    assert [reopened(text)["input_ids"] for text in texts] == want
    theirs.save_pretrained(tmp_path / "library")  # as tokenizer.json
    opened = Tokenizer.from_pretrained(tmp_path / "library")
    assert [encoding.input_ids for encoding in opened.encode_batch(texts)] == want


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"added_tokens.json": {"x": 99}}, r"added_tokens\.json: the added token 'x' has the id 99"),
        ({"added_tokens.json": {"x": "one"}}, "'one' is no id"),
        ({"added_tokens.json": ["x"]}, "object"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"x": ENTITY}}}, "'x' is no id"),
        ({"tokenizer_config.json": {"added_tokens_decoder": [ENTITY]}}, "an object of ids"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"24": "x", "25": "x"}}}, "twice"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"24": {**ENTITY, "lstrip": 1}}}}, "lstrip"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"24": {**ENTITY, "speed": 1}}}}, "speed"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"24": {"id": 24}}}}, "is no token"),
        ({"tokenizer_config.json": {"additional_special_tokens": "x"}}, "list of tokens"),
        ({"tokenizer_config.json": {"split_special_tokens": True}}, "split_special_tokens"),
        ({"special_tokens_map.json": {"mask_token": "<mask>"}}, r"special_tokens_map\.json: mask_token is '<mask>'"),
    ],
)
def test_what_is_no_token_is_refused(files: dict[str, Any], says: str, tmp_path: Path) -> None:
    BASE.save(tmp_path / "vocab.txt")
    for name, values in files.items():
        json_file(tmp_path / name, values)
    with pytest.raises(InputError, match=says):
        Tokenizer.from_pretrained(tmp_path)
