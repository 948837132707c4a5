"""The vocabulary: order, ids, refusals, files."""

import errno
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.text import SPECIAL_TOKENS, Vocab, load_vocab


def test_ids_are_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("[PAD]\n  the \n##ing\r\nété\n[UNK]".encode())
    vocab = load_vocab(path)
    assert vocab.tokens == ("[PAD]", "the", "##ing", "été", "[UNK]")
    assert dict(vocab.ids) == {"[PAD]": 0, "the": 1, "##ing": 2, "été": 3, "[UNK]": 4}
    assert (len(vocab), vocab.size, vocab.pad, vocab.unk) == (5, 5, 0, 4)
    assert vocab.is_subword.dtype == np.bool_
    assert vocab.is_subword.tolist() == [False, False, True, False, False]
    assert vocab.special_ids == {0, 4}


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("a\u2028b\nc\x85d\n", encoding="utf-8", newline="")
    assert load_vocab(path).tokens == ("a\u2028b", "c\x85d")


def test_byte_order_mark_is_no_part_of_the_first_token(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\ufeff[PAD]\nx\n".encode())
    assert load_vocab(path).tokens == ("[PAD]", "x")


def test_specials(small_vocab: Vocab) -> None:
    ids = (small_vocab.pad, small_vocab.unk, small_vocab.cls, small_vocab.sep, small_vocab.mask)
    assert [small_vocab.tokens[i] for i in ids] == list(SPECIAL_TOKENS)
    assert small_vocab.special_ids == frozenset(ids)


@pytest.mark.parametrize("name", ["pad", "unk", "cls", "sep", "mask"])
def test_a_missing_special_token_is_named_with_its_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    token = f"[{name.upper()}]"
    path.write_text("\n".join(t for t in (*SPECIAL_TOKENS, "x") if t != token))
    with pytest.raises(InputError) as error:
        getattr(load_vocab(path), name)
    assert token in str(error.value)
    assert str(path) in str(error.value)
    with pytest.raises(InputError) as error:
        load_vocab(path, require=[token])
    assert token in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no tokens"),
        (b"[PAD]\na\nb\na\n", "line 4: token 'a' is already on line 2"),
        (b"[PAD]\n\na\n", "line 2: blank"),
        (b"[PAD]\n \t\na\n", "line 2: blank"),
        (b"[PAD]\na\n\n", "line 3: blank"),
        (b"[PAD]\na\nb\xff\xfe\n", "line 3: not UTF-8"),
        (b"[PAD]\na\rb\n", "line 2: token 'a\\rb' has white space"),
    ],
)
def test_bad_files_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_vocab(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_vocab(tmp_path / "none.txt")
    with pytest.raises(InputError, match="can't be read"):
        load_vocab(tmp_path)


def test_tokens_that_no_file_could_hold() -> None:
    for token in ("", " a", "a\n", "\ud800"):
        with pytest.raises(InputError):
            Vocab(("x", token))


def test_save_and_load_keep_bytes_and_hash(small_vocab: Vocab, tmp_path: Path) -> None:
    path = tmp_path / "new" / "vocab.txt"
    small_vocab.save(path)
    assert load_vocab(path) == small_vocab
    assert load_vocab(path).sha256 == small_vocab.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert os.listdir(path.parent) == ["vocab.txt"]
    swapped = Vocab((*small_vocab.tokens[:-2], small_vocab.tokens[-1], small_vocab.tokens[-2]))
    assert swapped != small_vocab
    assert swapped.sha256 != small_vocab.sha256


def test_the_published_vocabulary(bert_vocab: Vocab, data_dir: Path) -> None:
    assert len(bert_vocab) == 30522
    assert bert_vocab.sha256 == "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    assert (bert_vocab.pad, bert_vocab.unk, bert_vocab.cls, bert_vocab.sep, bert_vocab.mask) == (
        0,
        100,
        101,
        102,
        103,
    )
    assert int(bert_vocab.is_subword.sum()) == 5828


def test_full_disk_leaves_the_old_file(
    small_vocab: Vocab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("old\n")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        small_vocab.save(path)
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["vocab.txt"]


def test_read_only_and_picklable(small_vocab: Vocab) -> None:
    with pytest.raises(ValueError, match="read-only"):
        small_vocab.is_subword[0] = True
    copy = pickle.loads(pickle.dumps(small_vocab))
    assert copy == small_vocab
    assert copy.source == "small"
    assert copy.ids == small_vocab.ids
