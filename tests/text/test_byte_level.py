"""Byte-level BPE: ids, places and framing against transformers, folders in and out, and what is refused."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.text import Tokenizer
from bertref.text.byte_level import byte_letters, read_merges

from .parity import assert_equal
from .sample_texts import sample_texts
from .trained import byte_level, described, lines, roberta_folder, saved_for_transformers

Folder = tuple[Path, Path]


@pytest.fixture(scope="session")
def model(data_dir: Path) -> dict[str, Any]:
    """A BPE model of 1,000 pieces."""
    return byte_level(lines(data_dir / "data" / "english_novels.tar.gz"))


@pytest.fixture(scope="session")
def published(model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as RoBERTa was published."""
    return roberta_folder(tmp_path_factory.mktemp("published") / "roberta", model)


@pytest.fixture(scope="session")
def ours(published: Path) -> Tokenizer:
    return Tokenizer.from_pretrained(published)


@pytest.fixture(scope="session")
def theirs(ours: Tokenizer, published: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """transformers' tokenizer on what bertref saved."""
    folder = saved_for_transformers(ours, tmp_path_factory.mktemp("saved") / "roberta", published)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_bytes_are_written_as_openai_does() -> None:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    assert byte_letters() == bytes_to_unicode()


def test_a_saved_folder_opens_in_transformers_as_robertas(ours: Tokenizer, theirs: Any) -> None:
    assert type(theirs).__name__ == "RobertaTokenizer"
    assert theirs.convert_tokens_to_ids(list(ours.vocab.tokens)) == list(range(len(ours.vocab)))
    assert theirs.mask_token_id == ours.vocab.mask
    assert theirs._tokenizer.get_added_tokens_decoder()[ours.vocab.mask].lstrip


def test_ids_places_and_framing(ours: Tokenizer, theirs: Any) -> None:
    assert_equal(ours, theirs, sample_texts(300))


@pytest.mark.slow
def test_ids_places_and_framing_of_ten_thousand_texts(ours: Tokenizer, theirs: Any) -> None:
    assert_equal(ours, theirs, sample_texts(10_000, seed=1))


@given(text=st.text(max_size=40), pair=st.text(max_size=20))
def test_any_text(ours: Tokenizer, theirs: Any, text: str, pair: str) -> None:
    assert_equal(ours, theirs, [text, pair])


@pytest.mark.parametrize("add_prefix_space", [False, True])
@pytest.mark.parametrize("trim_offsets", [False, True])
def test_the_space_before_a_text_and_places_are_as_declared(
    add_prefix_space: bool, trim_offsets: bool, model: dict[str, Any], tmp_path: Path
) -> None:
    told = {"add_prefix_space": add_prefix_space, "trim_offsets": trim_offsets}
    ours = Tokenizer.from_pretrained(roberta_folder(tmp_path / "given", model, **told))
    saved = saved_for_transformers(ours, tmp_path / "saved", tmp_path / "given")
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(saved), sample_texts(60, seed=2))
    assert ours.options == Tokenizer.from_pretrained(saved).options
    assert ours.options["add_prefix_space"] is add_prefix_space
    assert ours.options["trim_offsets"] is trim_offsets
    other = {name: not value for name, value in told.items()}
    (saved / "tokenizer_config.json").write_text(json.dumps(other))
    ours = Tokenizer.from_pretrained(saved)  # the config has the last word, as in transformers
    assert {name: ours.options[name] for name in other} == other
    assert_equal(ours, transformers.AutoTokenizer.from_pretrained(saved), sample_texts(60, seed=3))


def test_the_files_of_transformers_own_tokenizer(model: dict[str, Any], published: Path, tmp_path: Path) -> None:
    theirs = transformers.RobertaTokenizer(
        vocab=dict(model["vocab"]), merges=[tuple(pair) for pair in model["merges"]], add_prefix_space=True,
        mask_token=transformers.AddedToken("<mask>", lstrip=True, special=True, normalized=False),
    )  # fmt: skip
    theirs.add_tokens(["<NEW>"])
    theirs.save_pretrained(tmp_path)
    ours = Tokenizer.from_pretrained(described(tmp_path, "roberta"))
    assert ours.vocab.tokens[-1] == "<NEW>"
    assert_equal(ours, theirs, sample_texts(100, seed=4))


@pytest.mark.parametrize("takes_space", [True, False])
@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
def test_a_file_that_describes_the_mask_is_obeyed(
    ours: Tokenizer, published: Path, file: str, takes_space: bool, tmp_path: Path
) -> None:
    """Also where <mask> is one of the pieces and takes no space, as in what transformers 5 saves."""
    mask = {"content": "<mask>", "lstrip": takes_space, "rstrip": False, "single_word": False, "normalized": False}
    if file == "tokenizer.json":
        ours.save_pretrained(tmp_path)
        library = json.loads((tmp_path / file).read_text(encoding="utf-8"))
        for token in library["added_tokens"]:
            token["lstrip"] = takes_space and token["content"] == "<mask>"
        (tmp_path / file).write_text(json.dumps(library), encoding="utf-8")
    else:
        for path in published.iterdir():
            shutil.copy(path, tmp_path)
        (tmp_path / file).write_text(json.dumps({"mask_token": {"__type": "AddedToken", **mask}}), encoding="utf-8")
    read = Tokenizer.from_pretrained(described(tmp_path, "roberta"))
    cut = read.tokenize("I <mask> it", specials=True)
    assert cut == (["I", "<mask>", "Ġit"] if takes_space else ["I", "Ġ", "<mask>", "Ġit"])
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    if file != "special_tokens_map.json":  # which transformers 5 reads no more
        assert_equal(read, theirs, ["I <mask> it", "<mask>", "  <mask> "])
    read.save_pretrained(tmp_path / "saved")
    assert Tokenizer.from_pretrained(tmp_path / "saved").tokenize("I <mask> it", specials=True) == cut


def test_the_general_class_is_named_where_the_familys_would_differ(ours: Tokenizer, tmp_path: Path) -> None:
    """Here the text is lower-cased and no places are trimmed, which RobertaTokenizer knows nothing of."""
    ours.save_pretrained(tmp_path)
    path = described(tmp_path, "roberta") / "tokenizer.json"
    library = json.loads(path.read_text(encoding="utf-8"))
    first, last = ([{"SpecialToken": {"id": name, "type_id": 0}}] for name in ("<s>", "</s>"))
    a, b = ([{"Sequence": {"id": name, "type_id": 0}}] for name in "AB")
    library["normalizer"] = {"type": "Lowercase"}
    library["post_processor"] = {
        "type": "TemplateProcessing", "single": [*first, *a, *last], "pair": [*first, *a, *last, *last, *b, *last],
        "special_tokens": {
            name: {"id": name, "ids": [ours.vocab.ids[name]], "tokens": [name]} for name in ("<s>", "</s>")
        },
    }  # fmt: skip
    path.write_text(json.dumps(library), encoding="utf-8")
    again = Tokenizer.from_pretrained(tmp_path)
    assert (again.lower_case, again.options["trim_offsets"]) == (True, False)
    theirs = transformers.AutoTokenizer.from_pretrained(saved_for_transformers(again, tmp_path / "saved", tmp_path))
    assert type(theirs).__name__ == "TokenizersBackend"
    assert_equal(again, theirs, sample_texts(60, seed=11))


def test_special_tokens_are_characters_where_nobody_asks_for_them(ours: Tokenizer) -> None:
    text = "I <mask> it</s> all"
    assert "<mask>" in ours.tokenize(text, specials=True)
    plain = ours.tokenize(text)
    assert not set(plain) & set(ours.vocab.notation.names)
    assert ours.decode(ours.ids_batch([text])[0]) == text
    assert ours.tokenize("the <mask>, man", specials=True) == ["the", "<mask>", ",", "Ġman"]  # its space is gone


@given(text=st.text(max_size=60))
def test_decoding_gives_the_text_back(ours: Tokenizer, text: str) -> None:
    assert ours.decode(ours.ids_batch([text])[0]) == text


def test_half_a_character_and_a_lone_surrogate(ours: Tokenizer) -> None:
    first = ours.ids_batch(["\U0010ffff"])[0][:1]
    assert ours.decode(first) == "\ufffd"
    assert ours.ids_batch(["a\ud800b"]) == ours.ids_batch(["a\ufffdb"])
    assert [piece.end for piece in ours.locate("\ud800")] == [1, 1, 1]


def test_words(ours: Tokenizer) -> None:
    text = "Poor, <mask>  the oldest man—he said so."
    words: dict[int, list[str]] = {}
    for piece in ours.locate(text):
        words.setdefault(piece.word, []).append(text[piece.start : piece.end])
    assert ["".join(some).strip() for some in words.values()] == [
        "Poor", ",", "<mask>", "the", "oldest", "man", "—" * len(words[6]), "he", "said", "so", "."
    ]  # fmt: skip


def test_words_of_a_sentence_have_their_spaces(ours: Tokenizer) -> None:
    expected = [ours.ids_batch(["the", " man", " ,", " \u200b"]), [], ours.ids_batch(["he"])]
    assert ours.word_ids([["the", "man", ",", "\u200b"], [], ["he"]]) == expected
    assert "Ġman" in ours.tokenize(" man")


def test_bytes_are_text(ours: Tokenizer) -> None:
    assert ours.ids_batch(["é".encode(), b"\xff!"]) == ours.ids_batch(["é", "!"])


def test_it_is_pickled_and_compared(ours: Tokenizer, model: dict[str, Any], tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(ours))
    assert again.vocab == ours.vocab
    assert again.vocab.sha256 == ours.vocab.sha256
    assert again.ids_batch(["A fine day."]) == ours.ids_batch(["A fine day."])
    fewer = {**model, "merges": model["merges"][:-1]}
    other = Tokenizer.from_pretrained(roberta_folder(tmp_path / "fewer", fewer))
    assert other.vocab.tokens == ours.vocab.tokens
    assert other.vocab.sha256 != ours.vocab.sha256  # equal pieces, other merges: other ids


def test_whole_words_begin_at_a_space(ours: Tokenizer) -> None:
    flags = ours.vocab.is_subword
    for token, expected in {"Ġthe": False, "the": True, "<mask>": False, "<s>": False, ",": True}.items():
        assert flags[ours.vocab.ids[token]] == expected, token


def test_merges_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "merges.txt"
    with pytest.raises(InputError, match=r"merges.txt: no such file; the merges belong to vocab.json"):
        read_merges(path)
    path.write_text("#version: 0.2\na b\n\na b c\n")
    with pytest.raises(InputError, match=r"merges.txt, line 4: 'a b c' is no merge"):
        read_merges(path)
    path.write_text("a b\r\nĠ t\r\n", encoding="utf-8")
    assert read_merges(path) == [["a", "b"], ["Ġ", "t"]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"merges.txt": None}, "merges.txt: no such file"),
        ({"merges.txt": "q zz\n"}, "tokenizers library can't read it"),
        ({"vocab.json": '{"a": 0, "b": 2}'}, "the ids of its 2 pieces are not 0 to 1"),
        ({"vocab.json": '{"a": 0}'}, "has no <s>"),
        ({"vocab.json": "["}, "can't be read as JSON"),
        ({"tokenizer_config.json": '{"add_prefix_space": "yes"}'}, "add_prefix_space is 'yes'"),
        ({"tokenizer_config.json": '{"cls_token": "[CLS]"}'}, r"has no \[CLS\]"),
        ({"tokenizer_config.json": '{"additional_special_tokens": 3}'}, "additional_special_tokens"),
        ({"tokenizer.json": '{"model": {"type": "BPE"}, "pre_tokenizer": {"type": "ByteLevel"}}', "vocab.txt": "a"},
         "its tokenizer.json holds no word pieces, but vocab.txt does"),
        ({"spiece.model": "", "config.json": "{}"}, "are of different tokenizers"),
        ({"sentencepiece.bpe.model": "", "config.json": "{}"}, "may be XLM-R's or CamemBERT's"),
        ({"config.json": '{"model_type": "albert"}'}, "spiece.model: no such file; ALBERT's tokenizer needs it"),
    ],
)
def test_folders_that_are_refused(
    change: dict[str, str | None], says: str, model: dict[str, Any], tmp_path: Path
) -> None:
    folder = roberta_folder(tmp_path / "given", model)
    for name, content in change.items():
        (folder / name).unlink() if content is None else (folder / name).write_text(content)
    with pytest.raises(InputError, match=says):
        Tokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("model.dropout", 0.1, "dropout = 0.1"),
        ("model.merges", [["a", "b"]], "tokenizer.json and merges.txt have different merges"),
        ("model.vocab", {"a": 0}, "tokenizer.json and vocab.json have different vocabularies"),
        ("pre_tokenizer", None, "BPE with the pre-tokenizer none"),
        ("post_processor", {"type": "ByteLevel"}, "post_processor ByteLevel frames sequences otherwise"),
        ("post_processor", {"type": "TemplateProcessing", "single": [], "pair": []}, "frames sequences otherwise"),
        ("normalizer", {"type": "Nonsense"}, "tokenizers library can't read it"),
        ("added_tokens", [{"id": 5000, "content": "<far>"}], "<far>"),
    ],
)
def test_tokenizer_files_that_are_refused(
    path: str, value: Any, says: str, ours: Tokenizer, model: dict[str, Any], tmp_path: Path
) -> None:
    folder = roberta_folder(tmp_path / "given", model)
    ours.save_pretrained(folder)
    Tokenizer.from_pretrained(folder)
    library = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    part, _, name = path.partition(".")
    library[part] = {**library[part], name: value} if name else value
    (folder / "tokenizer.json").write_text(json.dumps(library))
    with pytest.raises(InputError, match=says):
        Tokenizer.from_pretrained(folder)
