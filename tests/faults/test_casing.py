"""A run has the casing that its tokens were made with, whatever stands or doesn't stand on its command line."""

import json
from pathlib import Path
from typing import Any

import pytest

import bertref

from .asking import bertref as command

CONFIG = {
    "vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8,
    "max_position_embeddings": 24,
}  # fmt: skip
LETTERS = "AbCdEfGh"


def prepare(folder: Path, name: str, *options: str) -> Path:
    """A prepared corpus of four documents, or their records."""
    vocab = folder / "vocab.txt"
    words = dict.fromkeys([*LETTERS, *LETTERS.lower()])
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n", encoding="utf-8")
    text = folder / "text.txt"
    text.write_text("\n\n".join("\n".join([" ".join(LETTERS)] * 6) for _ in range(4)) + "\n", encoding="utf-8")
    done = command("prepare", text, "--vocab", vocab, "--out", folder / name, "--sentences", "line", *options)
    assert done.returncode == 0, done.stderr
    return folder / name


def run(corpus: Path, out: Path, stop: int = 99, **changes: Any) -> list[str]:
    """The messages of a run."""
    config = out.parent / "config.json"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    given = {
        "corpus": (str(corpus),), "out": str(out), "config": str(config), "steps": 3, "batch_size": 4, "seq_len": 16,
        "eval_on": "none", "save_every": 1, **changes,
    }  # fmt: skip
    told: list[str] = []
    left = iter(range(stop - 1, -1, -1))
    bertref.pretrain(
        bertref.PretrainOptions(**given), lambda event, values: told.append(values.get("text", "")),
        lambda: next(left) == 0,
    )  # fmt: skip
    return told


def lower_case(model: Path) -> Any:
    return json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))["do_lower_case"]


RECORDS = ("--format", "tfrecord", "--seq-len", "16", "--max-predictions", "4")


@pytest.mark.parametrize("options", [(), RECORDS], ids=["tokens", "records"])
def test_the_casing_is_that_of_the_tokens(tmp_path: Path, options: tuple[str, ...]) -> None:
    run(prepare(tmp_path, "cased", "--cased", *options), tmp_path / "out")
    assert lower_case(tmp_path / "out") is False
    assert bertref.load(tmp_path / "out").tokenizer.tokenize("A b") == ["A", "b"]
    run(prepare(tmp_path, "plain", *options), tmp_path / "out2")
    assert lower_case(tmp_path / "out2") is True


@pytest.mark.parametrize("options", [(), RECORDS], ids=["tokens", "records"])
def test_cased_is_refused_for_lower_cased_tokens(tmp_path: Path, options: tuple[str, ...]) -> None:
    corpus = prepare(tmp_path, "plain", *options)
    with pytest.raises(ValueError, match="plain: its text is lower-cased, which --cased contradicts; leave "):
        run(corpus, tmp_path / "out", lower_case=False)


def test_records_without_options_take_those_of_the_run(tmp_path: Path) -> None:
    """Other programs write none, and version 0.1.0 wrote none."""
    corpus = prepare(tmp_path, "records", *RECORDS)
    (corpus / "tokenizer_config.json").unlink()
    run(corpus, tmp_path / "out", lower_case=False)
    assert lower_case(tmp_path / "out") is False


def test_an_old_run_goes_on_and_is_told(tmp_path: Path) -> None:
    """Version 0.1.0 took --cased for lower-cased tokens."""
    manifest = prepare(tmp_path, "corpus", "--cased") / "manifest.json"
    cased = manifest.read_text(encoding="utf-8")
    run(manifest.parent, tmp_path / "out", 2, lower_case=False)
    content = json.loads(cased)
    content["tokenizer"]["lower_case"] = True
    manifest.write_text(json.dumps(content), encoding="utf-8")
    told = run(manifest.parent, tmp_path / "out", lower_case=False, resume=True)
    assert any("its text is lower-cased, which --cased contradicts" in text for text in told)
    assert lower_case(tmp_path / "out") is True


def test_a_model_of_another_casing_can_t_go_on_from_the_tokens(tmp_path: Path) -> None:
    run(prepare(tmp_path, "plain"), tmp_path / "model")
    cased = prepare(tmp_path, "cased", "--cased")
    with pytest.raises(ValueError, match=r"cased: its text is cased, but --init .*model is lower-cased"):
        run(cased, tmp_path / "out", init=str(tmp_path / "model"), config=None)
