"""Subjects of `verify` that end the program, have neighbours, or are folders that hold a part of the model."""

import json
from pathlib import Path

import pytest

from .asking import bertref, bertref_process

ENDING = {
    "in the function": "import sys\ndef f(case):\n    sys.exit()\n",
    "when it is imported": "import sys\nsys.exit(0)\n",
    "in the factory": "import sys\ndef f():\n    sys.exit(0)\n",
}


@pytest.mark.parametrize("code", ENDING.values(), ids=ENDING)
def test_a_subject_that_ends_the_program_could_not_run(tmp_path: Path, code: str) -> None:
    (tmp_path / "subs.py").write_text(code, encoding="utf-8")
    done = bertref_process("verify", f"python:{tmp_path}/subs.py:f")
    assert done.returncode == 2
    assert "the subject ended the program (SystemExit 0)" in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_imports_its_neighbour(tmp_path: Path, inside: bool) -> None:
    first, second = ("", "    import neighbour\n") if inside else ("import neighbour\n", "")
    code = f"{first}def f(case):\n{second}    return {{'pooled': neighbour.zeros(case)}}\n"
    (tmp_path / "subs.py").write_text(code, encoding="utf-8")
    (tmp_path / "neighbour.py").write_text(
        "import numpy\ndef zeros(case):\n    H = case['config']['hidden_size']\n"
        "    return numpy.zeros((len(case['batch']['input_ids']), H))\n", encoding="utf-8",
    )  # fmt: skip
    done = bertref_process("verify", f"python:{tmp_path}/subs.py:f", "--no-diagnosis")
    assert done.returncode == 1, done.stderr
    assert "DIVERGES" in done.stdout


def test_what_a_folder_does_not_hold_is_not_judged(tmp_path: Path) -> None:
    """A masked language model has neither pooler nor next sentences; transformers makes them newly."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=24,
    )  # fmt: skip
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "model")
    done = bertref("verify", f"transformers:{tmp_path}/model:attention=eager", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    made = ("pooled", "nsp", "bert.pooler", "cls.seq_relationship")
    assert report["verdict"] == "right"
    assert not [finding["name"] for finding in report["findings"] if any(part in finding["name"] for part in made)]
