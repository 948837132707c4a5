"""Unigram models: the files of SentencePiece as transformers reads them, ids, places, framing, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils import sentencepiece_model_pb2_new as proto

from bertref.errors import InputError
from bertref.text import Tokenizer
from bertref.text.sentencepiece import parse_model

from .charsmap import charsmap
from .parity import assert_equal
from .sample_texts import sample_texts
from .spm import ALBERT_HEAD, REPLACED, UNKNOWN, XLM_HEAD, model_file, readable_by_transformers
from .trained import described, lines, saved_for_transformers, unigram

Pieces = list[tuple[str, float]]
FAMILIES = {
    "albert": ("AlbertTokenizer", "spiece.model", ALBERT_HEAD),
    "xlm-roberta": ("XLMRobertaTokenizer", "sentencepiece.bpe.model", XLM_HEAD),
    "camembert": ("CamembertTokenizer", "sentencepiece.bpe.model", XLM_HEAD),
}


@pytest.fixture(scope="session")
def pieces(data_dir: Path) -> Pieces:
    """A unigram model of 800 pieces, some of them that end in a digit and a comma."""
    return [*unigram(lines(data_dir / "data" / "english_novels.tar.gz")), ("▁3,", -6.0), ("9,", -7.0)]


@pytest.fixture(scope="session", params=FAMILIES)
def folder(request: pytest.FixtureRequest, pieces: Pieces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a family's model of SentencePiece."""
    name, (_, file, head) = request.param, FAMILIES[request.param]
    path = tmp_path_factory.mktemp("spm") / name
    model_file(path / file, head, pieces)
    return described(path, name)


@pytest.fixture(scope="session")
def ours(folder: Path) -> Tokenizer:
    return Tokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def theirs(ours: Tokenizer, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """transformers' tokenizer on what bertref saved."""
    saved = saved_for_transformers(ours, tmp_path_factory.mktemp("saved") / folder.name, folder)
    return transformers.AutoTokenizer.from_pretrained(saved)


def test_a_saved_folder_opens_in_transformers_as_the_familys(ours: Tokenizer, theirs: Any, folder: Path) -> None:
    assert type(theirs).__name__ == FAMILIES[folder.name][0]
    assert theirs.convert_tokens_to_ids(list(ours.vocab.tokens)) == list(range(len(ours.vocab)))
    assert theirs.mask_token_id == ours.vocab.mask
    assert (theirs.cls_token_id, theirs.sep_token_id) == (ours.vocab.cls, ours.vocab.sep)
    assert theirs.unk_token_id == ours.vocab.unk
    assert theirs.pad_token_id == ours.vocab.pad


def test_ids_places_and_framing(ours: Tokenizer, theirs: Any) -> None:
    assert_equal(ours, theirs, sample_texts(300, seed=5))


@pytest.mark.slow
def test_ids_places_and_framing_of_ten_thousand_texts(ours: Tokenizer, theirs: Any) -> None:
    assert_equal(ours, theirs, sample_texts(10_000, seed=6))


@given(text=st.text(max_size=40), pair=st.text(max_size=20))
def test_any_text(ours: Tokenizer, theirs: Any, text: str, pair: str) -> None:
    assert_equal(ours, theirs, [text, pair])


def test_the_models_own_file_as_transformers_reads_it(
    ours: Tokenizer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readable_by_transformers(monkeypatch)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert type(theirs).__name__ == FAMILIES[folder.name][0]
    without_mask = [text for text in sample_texts(300, seed=7) if ours.vocab.notation.mask not in text]
    assert_equal(ours, theirs, without_mask)  # here transformers leaves the space before a mask


def test_fairseqs_ids(pieces: Pieces, tmp_path: Path) -> None:
    first = next(piece for piece, _ in pieces)
    for name, expected in {
        "xlm-roberta": ["<s>", "<pad>", "</s>", "<unk>", first],
        "camembert": ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", first],
    }.items():
        model_file(tmp_path / name / "sentencepiece.bpe.model", XLM_HEAD, pieces)
        vocab = Tokenizer.from_pretrained(described(tmp_path / name, name)).vocab
        assert list(vocab.tokens[: len(expected)]) == expected
        assert vocab.tokens[-1] == "<mask>"
        assert (vocab.cls, vocab.sep) == {"xlm-roberta": (0, 2), "camembert": (5, 6)}[name]


@pytest.mark.parametrize("keep_accents", [False, True])
@pytest.mark.parametrize("do_lower_case", [False, True])
def test_alberts_case_and_accents_are_as_declared(
    do_lower_case: bool, keep_accents: bool, pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readable_by_transformers(monkeypatch)
    model_file(tmp_path / "given" / "spiece.model", ALBERT_HEAD, pieces)
    told = {"do_lower_case": do_lower_case, "keep_accents": keep_accents}
    mask = {"content": "[MASK]", "lstrip": True, "special": True, "normalized": False}
    folder = described(tmp_path / "given", "albert", **told, added_tokens_decoder={"4": mask})
    ours = Tokenizer.from_pretrained(folder)
    assert (ours.lower_case, ours.options["keep_accents"]) == (do_lower_case, keep_accents)
    saved = saved_for_transformers(ours, tmp_path / "saved", folder)
    for opened in (saved, folder):
        assert_equal(ours, transformers.AutoTokenizer.from_pretrained(opened), sample_texts(60, seed=8))
    config = json.loads((saved / "tokenizer_config.json").read_text())
    (saved / "tokenizer_config.json").write_text(json.dumps({**config, "do_lower_case": not do_lower_case}))
    with pytest.raises(InputError, match="do_lower_case is"):
        Tokenizer.from_pretrained(saved)


def test_a_piece_of_digit_and_comma_stays_whole(ours: Tokenizer) -> None:
    assert "▁3," in ours.tokenize("3, 4")


def test_quotes_and_the_characters_map(ours: Tokenizer, folder: Path) -> None:
    assert (ours.tokenize("a``") == ours.tokenize('a"')) == (folder.name == "albert")
    assert ours.tokenize("ﬁne") == ours.tokenize("fine")
    assert ours.tokenize("ｶ人") == ours.tokenize("カ人")


def test_special_tokens_are_characters_where_nobody_asks_for_them(ours: Tokenizer) -> None:
    notation = ours.vocab.notation
    text = f"the {notation.mask} of{notation.sep}it"
    assert ours.tokenize(text, specials=True)[:2] == ["▁the", notation.mask]
    assert not set(ours.tokenize(text)) & {notation.mask, notation.sep, notation.cls}


def test_decoding_leaves_out_the_frame(ours: Tokenizer, theirs: Any) -> None:
    for text in ("the old man, and the sea.", "of it"):
        ids = ours.encode(text, text).input_ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
        assert ours.decode(ours.encode(text).input_ids) == text


def older(library: dict[str, Any], name: str) -> dict[str, Any]:
    """A `tokenizer.json` as transformers 4 wrote it."""
    normalizers = library["normalizer"]["normalizers"]
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " " if name == "albert" else "▁"}
    first = {"type": "WhitespaceSplit"}
    metaspace = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    if name == "camembert":  # cut by the Metaspace alone
        strip = {"type": "Strip", "strip_left": False, "strip_right": True}
        return {**library, "normalizer": {"type": "Sequence", "normalizers": [*normalizers, strip, spaces]},
                "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}}  # fmt: skip
    more = [spaces] if name == "albert" else []
    return {**library, "normalizer": {"type": "Sequence", "normalizers": [*normalizers, *more]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [first, metaspace]}}  # fmt: skip


def test_files_of_transformers_4(ours: Tokenizer, folder: Path, tmp_path: Path) -> None:
    """They are read as they stand; where today's class would do something else, the general class is named."""
    ours.save_pretrained(tmp_path)
    path = described(tmp_path, folder.name) / "tokenizer.json"
    path.write_text(json.dumps(older(json.loads(path.read_text(encoding="utf-8")), folder.name)), encoding="utf-8")
    again = Tokenizer.from_pretrained(tmp_path)
    saved = saved_for_transformers(again, tmp_path / "saved", tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(saved)
    usual = FAMILIES[folder.name][0]
    assert type(theirs).__name__ == ("TokenizersBackend" if folder.name == "camembert" else usual)
    assert_equal(again, theirs, sample_texts(100, seed=10))


def test_a_charsmap_is_what_the_library_reads() -> None:
    import tokenizers

    read = tokenizers.normalizers.Precompiled(charsmap(REPLACED))
    for source, target in REPLACED.items():
        assert read.normalize_str(f"a{source}b") == f"a{target}b"


def test_a_message_in_parts_and_defaults() -> None:
    message = proto.ModelProto()
    message.pieces.add(piece="<unk>", type=UNKNOWN)
    message.pieces.add(piece="a", score=-1.5)
    model = parse_model(message.SerializeToString(), "x")
    assert [tuple(piece) for piece in model.pieces] == [("<unk>", 0.0, 2), ("a", -1.5, 1)]
    assert (model.unk_id, model.charsmap) == (0, b"")
    one, two = proto.ModelProto(), proto.ModelProto()
    one.trainer_spec.unk_id, two.trainer_spec.vocab_size = 1, 2
    two.pieces.add(piece="<unk>", type=UNKNOWN)
    whole = message.SerializeToString().replace(b"<unk>", b"other") + one.SerializeToString() + two.SerializeToString()
    with pytest.raises(InputError, match="its unk_id is 1"):
        parse_model(whole, "x")


@given(data=st.binary(max_size=60), cut=st.integers(0, 200))
def test_damaged_files_are_refused_in_one_line(data: bytes, cut: int) -> None:
    message = proto.ModelProto()
    message.pieces.add(piece="<unk>", type=UNKNOWN)
    whole = message.SerializeToString()
    for damaged in (data, whole[:cut] + data):
        try:
            model = parse_model(damaged, "here")
        except InputError as error:
            said = str(error)
        else:
            said = f"here: {len(model.pieces)} pieces"
        assert said.startswith("here: ")
        assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.pieces.add(piece="<0x0A>", type=6), "piece 7, '<0x0A>', is a byte to fall back on"),
        (lambda m: setattr(m.trainer_spec, "model_type", 2), "its model is BPE; only unigram models are read"),
        (lambda m: setattr(m.trainer_spec, "unk_id", 0), "its unk_id is 0, which is not"),
        (lambda m: setattr(m.trainer_spec, "unk_id", 99), "its unk_id is 99"),
        (lambda m: m.ClearField("pieces"), "it has no pieces"),
        (lambda m: m.pieces.add(piece=""), "a piece without its spelling"),
        (lambda m: m.pieces.pop(2), r"has no piece \[CLS\]"),
        (lambda m: m.pieces.add(piece="("), r"the piece '\(' is there twice"),
        (lambda m: setattr(m.normalizer_spec, "precompiled_charsmap", b"\x09"), r"\(precompiled_charsmap\) is damaged"),
    ],
)
def test_models_that_are_refused(change: Any, says: str, tmp_path: Path) -> None:
    path = model_file(tmp_path / "spiece.model", ALBERT_HEAD, [])
    message = proto.ModelProto.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString())
    with pytest.raises(InputError, match=says) as error:
        Tokenizer.from_pretrained(tmp_path)
    assert "spiece.model" in str(error.value)


def test_an_unknown_type_of_piece(tmp_path: Path) -> None:
    path = model_file(tmp_path / "spiece.model", ALBERT_HEAD, [])
    path.write_bytes(path.read_bytes().replace(b"\x18\x04", b"\x18\x09", 1))  # the first user-defined piece
    with pytest.raises(InputError, match=r"piece 5, '\(', is of the unknown type 9"):
        Tokenizer.from_pretrained(tmp_path)


def test_another_familys_model(tmp_path: Path) -> None:
    model_file(tmp_path / "sentencepiece.bpe.model", ALBERT_HEAD, [])
    with pytest.raises(InputError, match="first pieces are not <unk>, <s> and </s>, as XLM-R's are"):
        Tokenizer.from_pretrained(described(tmp_path, "xlm-roberta"))
