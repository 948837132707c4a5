"""Tokens that were added to a model's vocabulary are kept whole, as transformers does; they were cut into pieces."""

import json
from pathlib import Path
from typing import Any

import pytest

import bertref as library

from .asking import bertref
from .models import json_file, model

WORDS = "[unused1] marie curie was born in warsaw [ ] / . un ##us ##ed ##1 en ##t ##1##x ent".split()
BEHIND = 5 + len(WORDS)
MARKERS = ["[ENT1]", "[/ENT1]"]
TEXT = "[ENT1] Marie Curie[/ENT1] was born in Warsaw."
FORMS = ["added_tokens.json", "added_tokens_decoder", "extra_special_tokens", "tokenizer.json"]
NAMES = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "mask", "pad", "sep", "unk")}
DECLARED: dict[str, Any] = {
    "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True,
}  # fmt: skip


def declare(folder: Path, form: str) -> None:
    """Adds `MARKERS` to a folder in one of the ways in which transformers' releases have written them."""
    ids = {marker: BEHIND + i for i, marker in enumerate(MARKERS)}
    config = json.loads((folder / "tokenizer_config.json").read_text())
    tokens = {marker: {"content": marker, **DECLARED} for marker in MARKERS}
    if form == "added_tokens.json":
        json_file(folder / form, ids)
        json_file(folder / "special_tokens_map.json", {**NAMES, "additional_special_tokens": MARKERS})
    elif form == "added_tokens_decoder":
        config["added_tokens_decoder"] = {str(ids[marker]): token for marker, token in tokens.items()}
    elif form == "extra_special_tokens":
        config[form] = MARKERS
    else:
        vocabulary = (folder / "vocab.txt").read_text().split()
        json_file(folder / "tokenizer.json", {
            "added_tokens": [{"id": ids[marker], **token} for marker, token in tokens.items()],
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                           "strip_accents": None, "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {word: i for i, word in enumerate(vocabulary)}},
        })  # fmt: skip
    json_file(folder / "tokenizer_config.json", config)


def masked(folder: Path, **settings: Any) -> Path:
    return model(folder, "BertForMaskedLM", WORDS, **{"vocab_size": BEHIND + 2, **settings})


def ids(*words: str) -> str:
    known = {word: 5 + i for i, word in enumerate(WORDS)} | {marker: BEHIND + i for i, marker in enumerate(MARKERS)}
    return " ".join(str(known[word]) for word in words)


@pytest.mark.parametrize("form", FORMS)
def test_markers_are_kept_whole_whoever_wrote_them(form: str, tmp_path: Path) -> None:
    declare(masked(tmp_path / "m"), form)
    done = bertref("tokenize", "--ids", "--model", tmp_path / "m", TEXT)
    right = ids("[ENT1]", "marie", "curie", "[/ENT1]", "was", "born", "in", "warsaw", ".")
    assert (done.returncode, done.stdout.strip()) == (0, right), done.stderr


def test_declared_slots_of_the_vocabulary_are_kept_whole(tmp_path: Path) -> None:
    folder = masked(tmp_path / "m")
    json_file(folder / "tokenizer_config.json", {"do_lower_case": True, "additional_special_tokens": ["[unused1]"]})
    done = bertref("tokenize", "--ids", "--model", folder, "[unused1] Marie [unused1]was")
    assert done.stdout.strip() == ids("[unused1]", "marie", "[unused1]", "was"), done.stderr


def test_settings_of_an_added_token_are_followed(tmp_path: Path) -> None:
    folder = masked(tmp_path / "m", vocab_size=BEHIND + 4)
    settings = [("Xyz", "normalized"), ("Qed", "single_word"), ("<m>", "lstrip"), ("<n>", "rstrip")]
    json_file(folder / "tokenizer_config.json", {"do_lower_case": True, "added_tokens_decoder": {
        str(BEHIND + i): {**DECLARED, "content": content, flag: True} for i, (content, flag) in enumerate(settings)
    }})  # fmt: skip
    tokenizer = library.Tokenizer.from_pretrained(folder)

    def found(text: str) -> list[tuple[int, str]]:
        return [(p.id - BEHIND, text[p.start : p.end]) for p in tokenizer.locate(text) if p.id >= BEHIND]

    assert found("XYZ xyz éXýz") == [(0, "XYZ"), (0, "xyz"), (0, "Xýz")]
    assert found("Qed. aQed Qedb QED (Qed)") == [(1, "Qed"), (1, "Qed")]
    assert found("a  <m>  <n>  b") == [(2, "  <m>"), (3, "<n>  ")]


def test_models_read_them_and_features_show_them(tmp_path: Path) -> None:
    declare(masked(tmp_path / "m"), "added_tokens.json")
    done = bertref("features", "--model", tmp_path / "m", "--layers", "-1", TEXT)
    tokens = [feature["token"] for feature in json.loads(done.stdout)["features"]]
    assert tokens == ["[CLS]", "[ENT1]", "marie", "curie", "[/ENT1]", "was", "born", "in", "warsaw", ".", "[SEP]"]
    done = bertref("predict", "--model", tmp_path / "m", "--top-k", "99", "--json", "[ENT1] Marie [MASK]")
    (mask,) = json.loads(done.stdout)["masks"]
    assert mask["position"] == 3
    assert {guess["token"] for guess in mask["top"]} >= set(MARKERS)


def test_an_id_beyond_the_table_is_one_sentence(tmp_path: Path) -> None:
    declare(masked(tmp_path / "m", vocab_size=BEHIND + 1), "added_tokens_decoder")
    done = bertref("predict", "--model", tmp_path / "m", "Marie [MASK]")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "[/ENT1]" in line
    assert f"vocab_size = {BEHIND + 1}" in line


def test_a_folder_that_is_written_again_keeps_them(tmp_path: Path) -> None:
    declare(masked(tmp_path / "m"), "added_tokens.json")
    done = bertref("convert", tmp_path / "m", tmp_path / "again", "--to", "huggingface")
    assert done.returncode == 0, done.stderr
    for text in (TEXT, "[ent1] marie [unused1]"):
        first, again = (bertref("tokenize", "--ids", "--model", tmp_path / name, text) for name in ("m", "again"))
        assert first.stdout == again.stdout
        assert str(BEHIND) in again.stdout.split()
