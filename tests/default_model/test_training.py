"""The training of the default model in little: its stages one after the other, killed and resumed, and its card."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import bertref
from bertref.default_model.training import plan, work
from bertref.default_model.training.__main__ import run
from bertref.default_model.training.card import by
from bertref.default_model.training.recipe import LONG, SHORT, STUDENT
from bertref.default_model.training.sentences import SENTENCES
from bertref.default_model.training.stages import TrainingPlaces, stages

from . import small

PROGRAM = """
import sys
from pathlib import Path
from bertref.default_model.training.__main__ import run
from bertref.default_model.training.stages import TrainingPlaces
from tests.default_model import small
folder = Path(sys.argv[1])
places = TrainingPlaces(folder / "aclImdb", folder / "SST-2", str(folder / "teacher" / "model"), folder / "out")
run(places, small.RECIPE)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlaces:
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTREF_CACHE", str(folder / "cache"))
        places = small.write(folder)
        run(places, small.RECIPE)
    return places


@pytest.mark.slow
def test_the_model_has_both_heads_in_half_precision(trained: TrainingPlaces) -> None:
    model = bertref.load(trained / "model")
    assert model.heads == ("masked_lm", "sequence_classification")
    assert model.labels == ("neg", "pos")
    assert model.windows is not None
    assert model.windows.max_length == small.RECIPE.text_length
    assert {array.dtype for array in load_file(trained / "model" / "model.safetensors").values()} == {np.dtype("f2")}


@pytest.mark.slow
def test_it_has_learnt_from_its_teacher_and_from_labels(trained: TrainingPlaces) -> None:
    found = json.loads((trained / "model" / "figures.json").read_text())
    assert found["results"]["report-windows"]["metrics"]["accuracy"] > 0.8
    assert found["words"]["words-after"]["masked_lm_loss"] < found["words"]["words-after"]["unigram_loss"]


@pytest.mark.slow
def test_the_card_says_what_was_measured(trained: TrainingPlaces) -> None:
    card = (trained / "model" / "README.md").read_text()
    metrics = json.loads((trained / "report-windows" / "results.json").read_text())["metrics"]
    phrases = json.loads((trained / "report-phrases" / "results.json").read_text())["metrics"]
    temperature = json.loads((trained / "student" / "results.json").read_text())["temperature"]
    for value in (metrics["accuracy"], metrics["loss"], phrases["accuracy"]):
        assert f"{value:.4f}" in card
    assert f"dividing the logits by {temperature:.3f}" in card
    counts = json.loads((trained / "data" / "counts.json").read_text())
    assert f"{counts['report']:,}, read once" in card


@pytest.mark.slow
def test_the_part_to_report_on_is_read_by_evaluations_alone(trained: TrainingPlaces) -> None:
    for log in ("words-short.jsonl", "words.jsonl", "teacher.jsonl", "student.jsonl"):
        assert "report.jsonl" not in (trained / log).read_text()
    for name in ("words", "teacher", "student"):
        assert "report.jsonl" not in (trained / name / "run.json").read_text()


@pytest.mark.slow
def test_what_is_done_is_not_done_again(trained: TrainingPlaces, capsys: pytest.CaptureFixture[str]) -> None:
    def made() -> dict[str, int]:
        return {stage.name: stage.makes.stat().st_ino for stage in stages(trained, small.RECIPE)}

    before = made()
    run(trained, small.RECIPE)
    assert made() == before
    assert capsys.readouterr().out == f"the model: {trained / 'model'}\n"


@pytest.mark.slow
def test_plan_and_measurement_agree(trained: TrainingPlaces) -> None:
    """The plan guesses tokens from words; here a word is a piece or several letters."""
    for stage in stages(trained, small.RECIPE):
        planned = plan.planned(stage.name, trained, small.RECIPE)
        assert (planned is None) == (stage.log is None)
        if planned and stage.log:
            tokens, seconds = work.logged(stage.log)
            assert 0.4 < tokens / planned.tokens < 2.5, stage.name
            assert seconds > 0


def test_a_resumed_run_is_counted_whole(tmp_path: Path) -> None:
    events = [(100, 1.0), (200, 2.0), (50, 0.5), (80, 1.0), (10, 0.25)]
    lines = [json.dumps({"event": "step", "tokens": t, "seconds": s}) for t, s in events]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, json.dumps({"event": "done"})]) + "\n")
    assert work.logged(tmp_path / "log.jsonl") == (290, 3.25)


def test_shares_by_length() -> None:
    right = np.array([True, False, True, True])
    found = by(right, [0, 5, 10, 20], (0, 10, 20))
    assert [(row["texts"], row["accuracy"]) for row in found] == [(2, 0.5), (2, 1.0)]
    assert by(right[:2], [0, 5], (0, 10, 20))[1]["accuracy"] is None


def test_the_sentences_are_forty_of_both_kinds_with_the_documents_four() -> None:
    assert len({text for text, _ in SENTENCES}) == 40
    assert [label for _, label in SENTENCES].count("pos") == 20
    assert SENTENCES[:4] == (
        ("That movie was absolutely awful", "neg"), ("The acting was a bit lacking", "neg"),
        ("The film was creative and surprising", "pos"), ("Absolutely fantastic!", "pos"),
    )  # fmt: skip


def test_the_student_is_as_large_as_it_is_said_to_be() -> None:
    layers = STUDENT.num_hidden_layers * (12 * STUDENT.hidden_size**2 + 13 * STUDENT.hidden_size)
    assert layers == pytest.approx(3.2e6, rel=0.02)
    assert LONG.words[0].steps > SHORT.words[0].steps


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_bit_equal(trained: TrainingPlaces, tmp_path: Path) -> None:
    """`pytest --slow -k killed_at_any_moment`: nine kills, and the same model file as without."""
    folder = tmp_path / "killed"
    for name in ("aclImdb", "SST-2", "teacher"):
        shutil.copytree(trained.out.parent / name, folder / name)
    rng, kills = random.Random(5), 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)], env=_environment(folder), start_new_session=True
        )
        try:
            process.wait(rng.uniform(1, 12) if kills < 9 else 600)
            break
        except subprocess.TimeoutExpired:
            kills += 1
            _kill(process)
    assert process.returncode == 0
    assert kills == 9
    one, other = (place / "model" / "model.safetensors" for place in (trained.out, folder / "out"))
    assert one.read_bytes() == other.read_bytes()


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "BERTREF_CACHE": str(folder / "cache")}


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The process and the command that it runs."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
