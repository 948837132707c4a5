"""Folders of records: what counts as one, held-out documents, vocabularies, and what is refused."""

import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from bertref.data.pretraining.original import original_batches
from bertref.data.pretraining.record_files import (
    HELD_OUT,
    held_out_files,
    is_records,
    record_files,
    vocab_of,
    write_records,
)
from bertref.data.pretraining.tfrecord import Writer, is_record_file, read_records
from bertref.data.pretraining.tfrecord_data import TFRecordData
from bertref.errors import InputError
from bertref.text import SPECIAL_TOKENS, Vocab

from .corpora import VOCAB, make, random_documents

RULES = {"seq_len": 24, "max_predictions": 4, "random_seed": 3}


def write(path: Path, *records: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer([path]) as writer:
        for record in records or (b"one", b"two"):
            writer.write(record)
    return path


def test_a_file_of_records_is_known_by_its_name_or_its_content(tmp_path: Path) -> None:
    for name in ("a.tfrecord", "a.tfrecords.gz", "a.tf_record", "a.TFREC", "a.tfrecord-00003-of-00010"):
        assert is_record_file(tmp_path / name), name
    for name in ("a.tfrecord.txt", "a.tfrecords.zip", "tfrecord", "a.records"):
        assert not is_record_file(tmp_path / name), name
    assert is_record_file(write(tmp_path / "examples"))
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress((tmp_path / "examples").read_bytes()))
    assert is_record_file(packed)
    for name, content in (("text", b"A line of text.\n"), ("short", b"A"), ("cut", packed.read_bytes()[:12])):
        (tmp_path / name).write_bytes(content)
        assert not is_record_file(tmp_path / name), name
    os.mkfifo(tmp_path / "pipe")
    assert not is_record_file(tmp_path / "pipe")  # and it isn't opened: that would wait for a writer


def test_the_length_of_a_record_may_look_like_gzip(tmp_path: Path) -> None:
    """0x088b1f bytes: the file begins with gzip's three."""
    path = write(tmp_path / "a", b"x" * 0x088B1F)
    assert path.read_bytes()[:3] == b"\x1f\x8b\x08"
    assert is_record_file(path)
    assert [len(record) for record in read_records(path)] == [0x088B1F]


def test_records_in_gzip_are_read_without_keeping_them(tmp_path: Path) -> None:
    import tracemalloc

    plain = write(tmp_path / "plain", *(b"%d" % number * 5000 for number in range(500)))
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes() * 4))
    tracemalloc.start()
    try:
        assert sum(map(len, read_records(packed))) == 4 * sum(map(len, read_records(plain)))
        assert tracemalloc.get_traced_memory()[1] < 8e6  # of 25 MB
    finally:
        tracemalloc.stop()


def test_a_folder_for_temporary_files_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(write(tmp_path / "a").read_bytes()))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"a\.gz: can't be unpacked into .*gone .*TMPDIR"):
        list(read_records(path))


def test_a_folder_of_records_is_its_own_files_in_order(tmp_path: Path) -> None:
    files = [write(tmp_path / name) for name in ("b.tfrecord", "a.tfrecord.gz", "c")]
    for name in ("sub/d.tfrecord", ".hidden.tfrecord"):
        write(tmp_path / name)
    (tmp_path / "vocab.txt").write_text("text")
    assert record_files([tmp_path]) == sorted(files)
    assert record_files([files[0], tmp_path / "sub"]) == [files[0], tmp_path / "sub" / "d.tfrecord"]
    assert not is_records(tmp_path / "vocab.txt")
    with pytest.raises(InputError, match=r"vocab\.txt: holds no TFRecord file, but others do"):
        record_files([tmp_path, tmp_path / "vocab.txt"])
    write(tmp_path / "a.tfrecord")
    with pytest.raises(InputError, match=r"a\.tfrecord: lies beside a\.tfrecord\.gz"):
        record_files([tmp_path])


def test_the_vocabulary_stands_beside_the_records(tmp_path: Path) -> None:
    files = [write(tmp_path / folder / "a.tfrecord") for folder in ("one", "two", f"one/{HELD_OUT}")]
    with pytest.raises(InputError, match=r"one: has no vocab\.txt; .* --vocab"):
        vocab_of(files)
    Vocab(SPECIAL_TOKENS).save(tmp_path / "one" / "vocab.txt")
    assert vocab_of(files) == vocab_of(files[2:]) == Vocab(SPECIAL_TOKENS)
    VOCAB.save(tmp_path / "two" / "vocab.txt")
    with pytest.raises(InputError, match=r"two/vocab\.txt: another vocabulary than .*one/vocab\.txt"):
        vocab_of(files)
    assert vocab_of(files, str(tmp_path / "two" / "vocab.txt")) == VOCAB
    Vocab(("[CLS]", "[PAD]", "[UNK]", "[SEP]")).save(tmp_path / "three.txt")
    with pytest.raises(InputError, match=r"no \[MASK\]"):
        vocab_of(files, str(tmp_path / "three.txt"))


def texts(files: list[Path]) -> list[list[int]]:
    """The tokens of each example's segments, unmasked."""
    found = []
    for batch in TFRecordData(files).in_order(32):
        ids = batch.input_ids.copy()
        rows, slots = np.nonzero(batch.masked_lm_weights)
        ids[rows, batch.masked_lm_positions[rows, slots]] = batch.masked_lm_ids[rows, slots]
        for row, mask in zip(ids, batch.attention_mask, strict=True):
            segments = " ".join(map(str, row[mask > 0][1:-1])).split(f" {VOCAB.sep} ")
            found += [[int(token) for token in segment.split()] for segment in segments]
    return found


def test_held_out_documents_are_on_one_side_only(tmp_path: Path) -> None:
    """Document n is made of word n alone, so that every segment says where it comes from."""
    from bertref.data.pretraining.documents import Document

    words = VOCAB.tokens[5:25]
    corpus = make(tmp_path / "c", [Document(word, [f"{word} " * 6] * 8) for word in words])
    counts = write_records(corpus, tmp_path / "records", files=2, held_out=0.2, **RULES)
    files = record_files([tmp_path / "records"])
    held_out = held_out_files(files)
    assert [path.name for path in held_out] == ["pretraining-00000-of-00001.tfrecord"]
    assert counts == {"examples": len(TFRecordData(files)), "held_out_examples": len(TFRecordData(held_out))}
    learnt, held = ({token for text in texts(some) for token in text} for some in (files, held_out))
    assert (len(learnt), len(held)) == (16, 4)
    assert not learnt & held


def test_without_holding_out_the_records_are_the_original_s(tmp_path: Path) -> None:
    corpus = make(tmp_path / "c", random_documents(2))
    assert set(write_records(corpus, tmp_path / "records", **RULES)) == {"examples"}
    files = record_files([tmp_path / "records"])
    assert not held_out_files(files)
    expected = list(original_batches(corpus, **RULES))
    for batch, other in zip(TFRecordData(files).in_order(32), expected, strict=True):
        for name, array in batch.items():
            assert np.array_equal(array, dict(other.items())[name])


def test_what_can_t_be_held_out_is_refused(tmp_path: Path) -> None:
    corpus = make(tmp_path / "c", random_documents(2, documents=1))
    with pytest.raises(InputError, match="single document"):
        write_records(corpus, tmp_path / "records", held_out=0.5, **RULES)
    with pytest.raises(InputError, match="c: exists"):
        write_records(corpus, tmp_path / "c", **RULES)
    assert not (tmp_path / "records").exists()
