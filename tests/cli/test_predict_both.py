"""`bertref predict` with a model that classifies and fills masks: each text gets its own; long ones, windows."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import bertref as library
from bertref import default_model
from bertref.cli.options import model_folder
from bertref.errors import InputError
from tests.cli_helpers import in_process
from tests.train.finetuning import running
from tests.train.finetuning.test_masked_words import HEADS

LONG = " and ".join(text for text, _ in running.sentences(12, seed=8))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with both heads whose folder records windows."""
    folder = running.model(tmp_path_factory.mktemp("both") / "model", heads=HEADS, num_labels=2)
    config = json.loads((folder / "config.json").read_text())
    config |= {"bertref_windows": {"max_length": 24, "stride": 11}, "id2label": {"0": "dry", "1": "wet"},
               "label2id": {"dry": 0, "wet": 1}, "problem_type": "single_label_classification"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def lines(done: Any) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_text_gets_its_own_task(both: Path) -> None:
    texts = ["the river", "the [MASK]", "a [MASK] and a [MASK]", "the road"]
    done = in_process("predict", "--model", str(both), "--json", *texts)
    found = lines(done)
    assert [line["text"] for line in found] == texts
    assert [line["task"] for line in found] == [
        "sequence-classification", "fill-mask", "fill-mask", "sequence-classification",
    ]  # fmt: skip
    assert [len(line.get("masks", ())) for line in found] == [0, 1, 2, 0]
    said = [line for line in done.stderr.splitlines() if "task" not in line and ":" in line]
    assert "sequence-classification: dry, wet" in done.stderr
    assert done.stderr.count("fill-mask, as there is a [MASK]") == 1, said


def test_options_that_ask_for_labels_get_them(both: Path) -> None:
    asked = ("predict", "--model", str(both), "--json", "the [MASK]")
    assert lines(in_process(*asked, "--task", "sequence-classification"))[0]["task"] == "sequence-classification"
    assert lines(in_process(*asked, "--pair", "the river"))[0]["task"] == "sequence-classification"
    assert lines(in_process(*asked, "--truncate", "head"))[0]["task"] == "fill-mask"
    refused = in_process("predict", "--model", str(both), "--windows", "--task", "fill-mask", "the [MASK]")
    assert refused.returncode == 2
    assert "--windows goes with sequence-classification, not with fill-mask" in refused.stderr


def test_long_texts_are_read_through_the_recorded_windows(both: Path) -> None:
    asked = ("predict", "--model", str(both), "--json", "--dtype", "float64")
    (found,) = lines(in_process(*asked, LONG))
    want = library.load(both, dtype="float64").classify(LONG)
    assert found["scores"] == pytest.approx(dict(want))
    (cut,) = lines(in_process(*asked, "--truncate", "head", LONG))
    assert cut["score"] != pytest.approx(found["score"], abs=1e-9)


def test_of_a_long_text_both_ends_are_shown(both: Path) -> None:
    text = f"begin {LONG} and {LONG} end"
    assert len(text) > 600
    heading, *_ = in_process("predict", "--model", str(both), text).stdout.splitlines()
    assert heading == f"{text[:400]} … {text[-200:]}"


def test_windows_are_asked_for_where_nothing_is_recorded(both: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(both, tmp_path / "plain"))
    config = json.loads((plain / "config.json").read_text())
    del config["bertref_windows"]
    (plain / "config.json").write_text(json.dumps(config))
    (tmp_path / "texts.txt").write_text(f"the river\n{LONG}\n")
    refused = in_process("predict", "--model", str(plain), "--file", str(tmp_path / "texts.txt"))
    assert refused.returncode == 1
    assert "line 2 has" in refused.stderr
    (found,) = lines(in_process("predict", "--model", str(plain), "--json", "--windows", LONG))
    assert found["scores"] == pytest.approx(dict(library.load(plain).classify(LONG, windows=True)), rel=1e-5)


def test_the_model_inside_the_package_comes_last(monkeypatch: pytest.MonkeyPatch, both: Path, tmp_path: Path) -> None:
    monkeypatch.delenv("BERTREF_MODEL", raising=False)
    monkeypatch.setattr(default_model, "FOLDER", tmp_path)
    with pytest.raises(InputError, match="no model: run `bertref pretrain`"):
        model_folder(None)
    monkeypatch.setattr(default_model, "FOLDER", both)
    assert model_folder(None) == str(both)
    monkeypatch.setenv("BERTREF_MODEL", "elsewhere")
    assert model_folder(None) == "elsewhere"
    assert model_folder("given") == "given"
