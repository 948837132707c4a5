"""A prepared corpus with damaged bytes is refused in a line that names the file; it ran for ever, or ended anywhere."""

import json
import time
from pathlib import Path

import pytest

from .test_casing import prepare, run


def damage(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def without_checksums(corpus: Path) -> None:
    """As version 0.1.0 wrote it."""
    path = corpus / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for shard in manifest["shards"]:
        del shard["checksums"]
    path.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("part", "at", "content", "said"),
    [
        ("sentences", 40, b"\xff\xff\xff", "is not above the one before it"),
        ("documents", 16, b"\x00", "is not above the one before it"),
        ("tokens", 20, b"\xff\xff", "token 65535 is none of the vocabulary's 17"),
    ],
)
def test_numbers_that_can_t_be_right(tmp_path: Path, part: str, at: int, content: bytes, said: str) -> None:
    corpus = prepare(tmp_path, "corpus")
    without_checksums(corpus)
    run(corpus, tmp_path / "whole")
    damage(corpus / f"00000.{part}.bin", at, content)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=rf"00000\.{part}\.bin: damaged: .*{said}"):
        run(corpus, tmp_path / "out")
    assert time.perf_counter() - start < 5
    assert not (tmp_path / "out").exists()


def test_a_byte_that_could_be_right_is_found_by_the_checksum(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, "corpus")
    damage(corpus / "00000.tokens.bin", 20, b"\x07\x00")
    with pytest.raises(ValueError, match=r"00000\.tokens\.bin: damaged: its checksum is not the one"):
        run(corpus, tmp_path / "out")
