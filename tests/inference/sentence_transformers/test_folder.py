"""What is kept of a folder of sentence-transformers, and that nothing from outside comes along."""

import json
import os
from pathlib import Path

import pytest

from bertref.errors import InputError
from bertref.inference.sentence_transformers.folder import copy_beside, encoder_place, files_beside


def make(folder: Path, encoder: str = "0_Transformer") -> Path:
    kinds = {encoder: "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    for path in (encoder, "1_Pooling"):
        (folder / path / "deep").mkdir(parents=True, exist_ok=True)
        (folder / path / "deep/file.txt").write_text(path, encoding="utf-8")
    (folder / encoder / "sentence_bert_config.json").write_text("{}", encoding="utf-8")
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    return folder


def test_everything_but_the_encoder_is_kept(tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    expected = ["modules.json", "0_Transformer/sentence_bert_config.json", "1_Pooling/deep/file.txt"]
    assert list(map(str, files_beside(folder))) == expected
    assert encoder_place(folder) == Path("0_Transformer")
    copy_beside(folder, tmp_path / "new")
    assert (tmp_path / "new/1_Pooling/deep/file.txt").read_text(encoding="utf-8") == "1_Pooling"
    assert not (tmp_path / "new/0_Transformer/deep").exists()


def test_a_plain_folder_and_a_file_have_nothing_to_keep(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert files_beside(tmp_path) == files_beside(tmp_path / "config.json") == files_beside(tmp_path / "none") == []
    assert encoder_place(tmp_path) == encoder_place(tmp_path / "config.json") == Path(".")


def test_a_link_may_lead_into_the_store_of_a_cache_and_nowhere_else(tmp_path: Path) -> None:
    folder = make(tmp_path / "hub/snapshots/1")
    (tmp_path / "hub/blobs").mkdir()
    (tmp_path / "hub/blobs/0123").write_text("x", encoding="utf-8")
    link = folder / "1_Pooling/config.json"
    os.symlink("../../../blobs/0123", link)
    assert Path("1_Pooling/config.json") in files_beside(folder)
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    link.unlink()
    os.symlink(tmp_path / "secret", link)
    with pytest.raises(InputError, match=r"config\.json: is a link to .*secret, outside the folder"):
        files_beside(folder)
