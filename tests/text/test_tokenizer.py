"""The public tokenizer: encoding, decoding, folders."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bertref.errors import InputError
from bertref.text import FullTokenizer, Tokenizer, Vocab
from bertref.text.encoding import cut, shorten


def test_importing_the_room_imports_no_tokenizers() -> None:
    code = (
        "import sys, bertref.text; assert 'tokenizers' not in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_encode(small_vocab: Vocab) -> None:
    tokenizer = Tokenizer(small_vocab)
    ids = small_vocab.ids
    single = tokenizer.encode("The [MASK] jumps.")
    assert [small_vocab.tokens[i] for i in single.input_ids] == str.split("[CLS] the [MASK] jump ##s . [SEP]")
    assert single.token_type_ids == [0] * 7
    pair = tokenizer.encode("the fox", "lazy dog .")
    assert [small_vocab.tokens[i] for i in pair.input_ids] == str.split(
        "[CLS] the fox [SEP] lazy dog . [SEP]"
    )
    assert pair.token_type_ids == [0, 0, 0, 0, 1, 1, 1, 1]
    assert tokenizer.encode("the[MASK][MASK]").input_ids[1:-1] == [ids["the"], ids["[MASK]"], ids["[MASK]"]]
    assert ids["[MASK]"] not in tokenizer.encode("[MASK]", specials=False).input_ids
    assert ids["[MASK]"] not in tokenizer.ids_batch(["[MASK]"])[0]
    assert tokenizer.tokenize("[MASK]") == ["[", "mask", "]"]
    assert tokenizer.tokenize("[MASK]", specials=True) == ["[MASK]"]
    assert tokenizer.encode("").input_ids == [small_vocab.cls, small_vocab.sep]
    assert tokenizer.encode(b"the").input_ids == [small_vocab.cls, ids["the"], small_vocab.sep]


@given(
    texts=st.lists(st.text("the fox[MASK]SEP. xAé", max_size=40) | st.just("a [MASK]b[SEP]"), max_size=4),
    pair=st.booleans(),
    room=st.integers(4, 12) | st.none(),
    specials=st.booleans(),
    truncate=st.sampled_from(["head", "tail", "head+tail"]),
)
def test_encode_equals_the_readable_one(
    texts: list[str], pair: bool, room: int | None, specials: bool, truncate: Any
) -> None:
    vocab = Vocab((*str.split("[PAD] [UNK] [CLS] [SEP] [MASK] the fox [ ] mask se ##p . x ##x ##a a e"),))
    full = FullTokenizer(vocab)
    pairs = texts[::-1] if pair else None
    encodings = Tokenizer(vocab).encode_batch(texts, pairs, room, specials=specials, truncate=truncate)
    for number, encoding in enumerate(encodings):
        second = None if pairs is None else pairs[number]
        assert encoding == full.encode(texts[number], second, room, specials=specials, truncate=truncate)
        assert len(encoding.input_ids) == len(encoding.token_type_ids)
        assert room is None or len(encoding.input_ids) <= room


@given(a=st.integers(0, 12), b=st.integers(0, 12), room=st.integers(1, 20))
def test_pairs_are_shortened_as_in_the_original(a: int, b: int, room: int) -> None:
    first, second = list(range(a)), list(range(100, 100 + b))
    x, y = list(first), list(second)
    while len(x) + len(y) > room:
        (x if len(x) > len(y) else y).pop()
    assert shorten(first, second, room) == (x, y)


@given(a=st.integers(0, 12), b=st.integers(0, 12) | st.none(), room=st.integers(1, 20))
def test_each_end_can_be_kept(a: int, b: int | None, room: int) -> None:
    """The lengths are those of "head" whatever is kept."""
    first, second = list(range(a)), None if b is None else list(range(100, 100 + b))
    heads = shorten(first, second, room, "head")
    for whole, head, tail in zip((first, second), heads, shorten(first, second, room, "tail"), strict=True):
        if whole is None or head is None:
            assert head is tail is None
        else:
            assert tail == whole[len(whole) - len(head) :]


def test_both_ends_are_kept_in_the_proportion_of_the_paper() -> None:
    text = list(range(1000))
    assert cut(text, 510, "head+tail") == [*range(128), *range(1000 - 382, 1000)]
    assert cut(text, 62, "head+tail") == [*range(16), *range(1000 - 46, 1000)]
    assert cut(text, 1, "head+tail") == [999]
    for room in range(1, 600):
        kept = cut(text, room, "head+tail")
        assert len(kept) == room
        assert sum(i < 500 for i in kept) == pytest.approx(room * 128 / 510, abs=0.5)
    assert cut(text, 1000, "head+tail") == text
    with pytest.raises(InputError, match="truncate is 'middle'; it must be one of head, tail, head"):
        Tokenizer(Vocab(("[UNK]", "[CLS]", "[SEP]"))).encode("a", truncate="middle")  # type: ignore[arg-type]


def test_too_short_a_length_is_refused(small_vocab: Vocab) -> None:
    tokenizer = Tokenizer(small_vocab)
    assert tokenizer.encode("the fox", max_length=3).input_ids == [
        small_vocab.cls,
        small_vocab.ids["the"],
        small_vocab.sep,
    ]
    with pytest.raises(InputError, match="max_length is 2"):
        tokenizer.encode("the fox", max_length=2)
    with pytest.raises(InputError, match="max_length is 3"):
        tokenizer.encode("the fox", "the dog", max_length=3)
    with pytest.raises(InputError, match="1 texts and 2 second"):
        tokenizer.encode_batch(["a"], ["b", "c"])


def test_missing_tokens_are_named() -> None:
    with pytest.raises(InputError, match=r"\[CLS\]"):
        Tokenizer(Vocab(("[UNK]", "a"))).encode("a")
    with pytest.raises(InputError, match=r"\[UNK\]"):
        Tokenizer(Vocab(("a", "b")))


def test_bad_options(small_vocab: Vocab) -> None:
    with pytest.raises(InputError, match="control"):
        Tokenizer(small_vocab, control="none")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_chars_per_word"):
        Tokenizer(small_vocab, max_chars_per_word=0)


def test_decode(small_vocab: Vocab) -> None:
    tokenizer = Tokenizer(small_vocab)
    ids = tokenizer.encode("The fox's running (over the lazy dog), hello! [MASK]?", "unwanted").input_ids
    assert tokenizer.decode(ids) == "the fox's running (over the lazy dog), hello! [MASK]? unwanted"
    assert tokenizer.decode(ids, keep_special=True).startswith("[CLS] the fox")
    assert tokenizer.decode([small_vocab.pad, *ids, small_vocab.pad]) == tokenizer.decode(ids)
    assert tokenizer.decode([]) == ""
    with pytest.raises(InputError, match="id 9999 at position 1"):
        tokenizer.decode([0, 9999])


@given(st.text("abc .,'()[]!?-", max_size=40))
def test_decoded_text_has_the_same_ids(text: str) -> None:
    vocab = Vocab(
        (*str.split("[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ##c ab ##bc . , ' ( ) [ ] ! ? -"),)
    )
    tokenizer = Tokenizer(vocab)
    (ids,) = tokenizer.ids_batch([text])
    assert tokenizer.ids_batch([tokenizer.decode(ids)]) == [ids]


def test_pickle(small_vocab: Vocab) -> None:
    tokenizer = Tokenizer(small_vocab, lower_case=False, max_chars_per_word=9, control="C")
    tokenizer.ids_batch(["the"])
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.options == tokenizer.options
    assert copy.ids_batch(["the Fox"]) == tokenizer.ids_batch(["the Fox"])


OPTIONS = [
    {},
    {"lower_case": False},
    {"lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
    {"max_chars_per_word": 100, "control": "C"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_save_and_open(options: dict[str, Any], small_vocab: Vocab, tmp_path: Path) -> None:
    tokenizer = Tokenizer(small_vocab, **options)
    tokenizer.save_pretrained(tmp_path / "model", max_length=64)
    opened = Tokenizer.from_pretrained(tmp_path / "model")
    assert opened.vocab == small_vocab
    assert opened.options == tokenizer.options
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "tokenizer_config.json",
        "vocab.txt",
    ]


TEXT = "The quick, brown FOX's running! Hello [MASK] world (hello) 博推 Élan dog?"


@pytest.mark.parametrize("options", OPTIONS)
def test_transformers_opens_the_folder(options: dict[str, Any], small_vocab: Vocab, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer(small_vocab, **options)
    tokenizer.save_pretrained(tmp_path / "a", max_length=64)
    for kind in (transformers.BertTokenizer, transformers.BertTokenizerFast, transformers.AutoTokenizer):
        theirs = kind.from_pretrained(tmp_path / "a")
        assert theirs.model_max_length == 64
        assert len(theirs) == len(small_vocab)
        for pair in (None, "over the lazy dog."):
            given_back = theirs(TEXT, pair)
            assert (given_back["input_ids"], given_back["token_type_ids"]) == tokenizer.encode(TEXT, pair)
    assert theirs.tokenize("x" * 101) == ["[UNK]"]
    theirs.save_pretrained(tmp_path / "b")  # as tokenizer.json
    again = Tokenizer.from_pretrained(tmp_path / "b")
    assert again.vocab == small_vocab
    assert again.encode(TEXT) == tokenizer.encode(TEXT)


def library_file(vocab: Vocab, **changes: Any) -> dict[str, Any]:
    """A `tokenizer.json` as transformers writes it for BERT."""
    values: dict[str, Any] = {
        "added_tokens": [{"id": vocab.cls, "content": "[CLS]", "special": True}],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False,
                       "lowercase": False, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 50, "vocab": dict(vocab.ids)},
    }  # fmt: skip
    for path, value in changes.items():
        room, _, name = path.partition("__")
        if name:
            values[room] = {**values[room], name: value}
        else:
            values[room] = value
    return values


def test_tokenizer_json_alone_and_overridden(small_vocab: Vocab, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(library_file(small_vocab)), encoding="utf-8")
    opened = Tokenizer.from_pretrained(tmp_path)
    assert opened.vocab == small_vocab
    assert opened.options == {"lower_case": False, "strip_accents": None, "tokenize_chinese_chars": False,
                              "max_chars_per_word": 50, "control": "Cc+Cf"}  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(
        '{"do_lower_case": true, "tokenizer_class": "TokenizersBackend"}'
    )
    assert Tokenizer.from_pretrained(tmp_path).lower_case is True
    assert Tokenizer.from_pretrained(tmp_path).options["tokenize_chinese_chars"] is False


def test_a_folder_with_only_a_vocabulary_is_uncased(small_vocab: Vocab, tmp_path: Path) -> None:
    small_vocab.save(tmp_path / "vocab.txt")
    assert Tokenizer.from_pretrained(tmp_path).options == Tokenizer(small_vocab).options


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model__type": "BPE"}, "its model is BPE with the pre-tokenizer BertPreTokenizer"),
        ({"model__max_input_chars_per_word": 0}, "max_chars_per_word is 0"),
        ({"model__vocab": {"[UNK]": 0, "a": 2}}, "not 0 to 1"),
        ({"model__vocab": ["a"]}, "WordPiece"),
        ({"model__continuing_subword_prefix": "_"}, "continuing_subword_prefix"),
        ({"model__unk_token": "<unk>"}, "unk_token"),
        ({"normalizer": {"type": "NFC"}}, "normalizer.type"),
        ({"normalizer": None}, "normalizer.type"),
        ({"normalizer__clean_text": False}, "clean_text"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer"),
        ({"added_tokens": [{"id": 99, "content": "<new>"}]}, "<new>"),
    ],
)
def test_another_tokenizer_json_is_refused(
    changes: dict[str, Any], says: str, small_vocab: Vocab, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text(
        json.dumps(library_file(small_vocab, **changes)), encoding="utf-8"
    )
    with pytest.raises(InputError) as error:
        Tokenizer.from_pretrained(tmp_path)
    assert says in str(error.value)
    assert "tokenizer.json" in str(error.value)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('{"tokenizer_class": "BertJapaneseTokenizer"}', "BertJapaneseTokenizer"),
        ('{"tokenizer_class": "PreTrainedTokenizerFast"}', "PreTrainedTokenizerFast"),
        ('{"mask_token": "<mask>"}', "mask_token is '<mask>'"),
        ('{"mask_token": {"content": "<mask>"}}', "mask_token is '<mask>'"),
        ('{"do_basic_tokenize": false}', "do_basic_tokenize"),
        ('{"never_split": ["x"]}', "never_split"),
        ('{"do_lower_case": "yes"}', "lower_case is 'yes'"),
        ('{"strip_accents": "yes"}', "strip_accents is 'yes'"),
        ('{"bertref_tokenizer": {"speed": 1}}', "speed"),
        ('{"bertref_tokenizer": {"max_chars_per_word": "x"}}', "max_chars_per_word"),
        ('{"bertref_tokenizer": 3}', "bertref_tokenizer"),
        ("[]", "object"),
        ("{", "JSON"),
    ],
)
def test_another_configuration_is_refused(config: str, says: str, small_vocab: Vocab, tmp_path: Path) -> None:
    small_vocab.save(tmp_path / "vocab.txt")
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(InputError) as error:
        Tokenizer.from_pretrained(tmp_path)
    assert says in str(error.value)
    assert "tokenizer_config.json" in str(error.value)


def test_folders_without_a_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Tokenizer.from_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match="neither"):
        Tokenizer.from_pretrained(tmp_path)


def test_a_real_folder(data_dir: Path, bert_vocab: Vocab, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(
        data_dir / "weights" / "bert_tiny_splade_mlm", folder, ignore=shutil.ignore_patterns("*.safetensors")
    )
    tokenizer = Tokenizer.from_pretrained(folder)
    assert tokenizer.vocab == bert_vocab
    assert tokenizer.lower_case is True
    assert tokenizer.options["max_chars_per_word"] == 100
