"""How the fine-tuned classifier answers: through windows that its folder records, and with calibrated probabilities."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import bertref
from bertref.checkpoint.text_windows import TextWindows, windows_of, windows_to_dict
from bertref.convert import convert
from bertref.errors import InputError, TextError
from bertref.inference.sequence_classification import logits_of
from bertref.text.encoding import frame
from bertref.train.finetuning.calibration import HIGHEST, LOWEST, calibrated, fitted_temperature, is_at_an_end
from bertref.train.finetuning.card import read_results

from ..pretraining.running import Log
from . import running
from .running import cache, run, weights  # noqa: F401

LONG = " and ".join(text for text, _ in running.sentences(12, seed=8))
TRAINED: dict[str, Any] = {"steps": 60, "learning_rate": 5e-3, "dropout": 0.0, "eval_every": 60}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that have learnt the same: `plain`, and `windows` whose folder records windows."""
    folder = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTREF_CACHE", str(folder / "cache"))
        run(folder, "plain", **TRAINED)
        run(folder, "windows", answer_windows=True, stride=9, **TRAINED)
    return folder


@pytest.fixture(scope="module")
def long_texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log]:
    """A run that is evaluated on two long texts through windows, and answers them; its folder and events."""
    folder = running.prepared(tmp_path_factory.mktemp("long"))
    (folder / "dev.csv").write_text(f'text,label\n"{LONG}",wet\n"{LONG} {LONG}",dry\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTREF_CACHE", str(folder / "cache"))
        return folder, run(folder, answer_windows=True, predict_on=("dev",), **TRAINED)[1]


def mean_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    scaled = logits / temperature
    largest = scaled.max(axis=1)
    return float(np.mean(largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))
                         - scaled[np.arange(len(labels)), labels]))  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.floats(0.05, 20))
def test_the_temperature_is_the_best_one(seed: int, classes: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    logits, labels = scale * random.normal(size=(40, classes)), random.integers(0, classes, 40)
    logits[np.arange(40), labels] += scale * random.normal(0.5)
    found = fitted_temperature(logits, labels)
    best = minimize_scalar(
        lambda log: mean_loss(logits, labels, np.exp(log)), bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded"
    )
    assert mean_loss(logits, labels, found) <= best.fun + 1e-9


def test_at_the_ends_it_stays_in_its_interval() -> None:
    logits, right = np.array([[2.0, -1.0], [-3.0, 1.0]]), np.array([0, 1])
    assert fitted_temperature(logits, right) == pytest.approx(LOWEST)
    assert fitted_temperature(logits, 1 - right) == pytest.approx(HIGHEST)
    assert is_at_an_end(fitted_temperature(logits, right))
    assert is_at_an_end(fitted_temperature(logits, 1 - right))
    assert not is_at_an_end(fitted_temperature(np.array([[2.0, -1.0], [-1.0, 2.0], [1.0, 0.0]]), np.array([0, 1, 1])))


def test_only_the_classifier_is_divided() -> None:
    params = {"classifier.weight": np.ones((2, 3), np.float32), "classifier.bias": np.ones(2, np.float32),
              "bert.pooler.dense.bias": np.ones(3, np.float32)}  # fmt: skip
    found = calibrated(params, 2.0)
    assert {name: float(array.max()) for name, array in found.items()} == {
        "classifier.weight": 0.5, "classifier.bias": 0.5, "bert.pooler.dense.bias": 1.0,
    }  # fmt: skip
    assert all(found[name].dtype == np.float32 for name in found)


def test_calibration_changes_probabilities_and_no_answer(folder: Path) -> None:
    plain = read_results(folder / "plain")["metrics"]
    found, log = run(folder, "calibrated", calibrate=True, **TRAINED)
    results = read_results(folder / "calibrated")
    temperature = results["temperature"]
    assert found.metrics["accuracy"] == plain["accuracy"]
    assert found.metrics["loss"] < plain["loss"]
    assert results["metrics"]["loss"] == found.metrics["loss"]
    one, other = weights(folder / "plain"), weights(folder / "calibrated")
    np.testing.assert_allclose(other["classifier.weight"] * temperature, one["classifier.weight"], rtol=1e-6)
    assert f"divided by {temperature:.4f}" in (folder / "calibrated" / "README.md").read_text()
    assert any("Calibrated" in each["text"] for each in log.of("message"))
    judged = bertref.evaluate(bertref.EvaluateOptions(
        "classification", str(folder / "dev.csv"), model=str(folder / "calibrated"), max_length=24,
    ))  # fmt: skip
    assert judged.metrics["loss"] == pytest.approx(found.metrics["loss"], rel=1e-6)


def test_what_no_temperature_fits_is_left_alone(folder: Path) -> None:
    """An example that is right could be said ever more surely."""
    answer = bertref.load(folder / "plain").classify("the river")[0].label
    (folder / "one.csv").write_text(f"text,label\nthe river,{answer}\n")
    changes = {"dev": str(folder / "one.csv"), "labels": ("dry", "wet"), **TRAINED}
    _, log = run(folder, "one-sided", calibrate=True, **changes)
    assert any("Not calibrated: no temperature fits what" in each["text"] for each in log.of("message"))
    assert "temperature" not in read_results(folder / "one-sided")
    run(folder, "uncalibrated", **changes)
    one, other = weights(folder / "one-sided"), weights(folder / "uncalibrated")
    np.testing.assert_array_equal(one["classifier.weight"], other["classifier.weight"])


def test_calibration_is_for_classes(tmp_path: Path) -> None:
    running.prepared(tmp_path)
    (tmp_path / "numbers.csv").write_text("text,label\nthe river,1\nthe sea,2\n")
    with pytest.raises(InputError, match="--calibrate does nothing for regression"):
        run(tmp_path, task="regression", data=str(tmp_path / "numbers.csv"), calibrate=True)


def test_a_model_answers_long_texts_through_the_windows_that_it_records(folder: Path) -> None:
    model = bertref.load(folder / "windows", dtype="float64")
    assert model.windows == TextWindows(24, 9)
    found = {each.label: each.score for each in model.classify(LONG)}
    # by hand: the mean of the logits of every window, softmax
    ids = model.tokenizer.encode_batch([LONG], None)[0].input_ids[1:-1]
    starts = list(range(0, len(ids), 9))
    last = next(i for i, start in enumerate(starts) if start + 22 >= len(ids))
    pieces = [frame(model.tokenizer.vocab, ids[a : a + 22], None, None) for a in starts[: last + 1]]
    logits = logits_of(model, pieces).mean(axis=0)
    p = np.exp(logits) / np.exp(logits).sum()
    assert len(pieces) > 3
    assert found == pytest.approx(dict(zip(model.labels, p, strict=True)), abs=1e-9)


def test_windows_are_evaluated_though_learning_cuts(long_texts: tuple[Path, Log]) -> None:
    folder, log = long_texts
    assert log.of("start")[0]["units"] == 40  # of the training part each text is one
    model = bertref.load(folder / "out")
    losses = [-np.log({e.label: e.score for e in model.classify(text)}[label])
              for text, label in ((LONG, "wet"), (f"{LONG} {LONG}", "dry"))]  # fmt: skip
    assert read_results(folder / "out")["metrics"]["loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_windows_that_nobody_records_are_asked_for(folder: Path) -> None:
    model = bertref.load(folder / "plain")
    assert model.windows is None
    with pytest.raises(TextError):
        model.classify(LONG)
    assert model.classify(LONG, windows=True)[0].score > 0.5
    with pytest.raises(InputError, match="choose one"):
        model.classify(LONG, windows=True, truncate="head")


@pytest.mark.parametrize(
    ("stored", "message"),
    [([], "an object with"), ({"width": 3}, "an object with"), ({"max_length": 49}, "must be in 4 to 48"),
     ({"max_length": "24"}, "must be in 4 to 48"), ({"max_length": 24, "stride": 0}, "must be at least 1")],
)  # fmt: skip
def test_windows_that_make_no_sense_are_refused(stored: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^config.json: bertref_windows .*{message}"):
        windows_of({"bertref_windows": stored}, 48, "config.json")


@given(st.integers(4, 48), st.none() | st.integers(1, 48))
def test_windows_go_to_json_and_back(length: int, stride: int | None) -> None:
    windows = TextWindows(length, stride)
    assert windows_of(windows_to_dict(windows), 48, "") == windows
    assert windows_of(windows_to_dict(None), 48, "") is None


def test_halves_on_the_disk_compute_as_their_values(folder: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    convert(folder / "windows", tmp_path / "half", dtype="float16")
    one, half = weights(folder / "windows"), weights(tmp_path / "half")
    assert all(array.dtype == np.float16 for array in half.values())
    assert all(np.array_equal(half[name], one[name].astype(np.float16)) for name in one)
    model = bertref.load(tmp_path / "half")
    assert model.windows == TextWindows(24, 9)
    assert all(array.dtype == np.float32 for array in model.params.values())
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "half")
    assert theirs.dtype == torch.float32


def test_what_halves_cannot_hold_is_refused(tmp_path: Path) -> None:
    from bertref.checkpoint import save_weights

    folder = running.model(tmp_path / "model")
    large = weights(folder) | {"bert.pooler.dense.bias": np.full(16, 70000, np.float32)}
    save_weights(folder, large)
    with pytest.raises(InputError, match=r"bert\.pooler\.dense\.bias holds values beyond those of float16"):
        convert(folder, tmp_path / "half", dtype="float16")
    with pytest.raises(InputError, match="only the weights of a Hugging Face folder"):
        convert(folder, tmp_path / "half", dtype="float16", to="tensorflow")
    assert not (tmp_path / "half").exists()


def test_an_evaluation_follows_the_folder_where_nothing_is_said_of_lengths(long_texts: tuple[Path, Log]) -> None:
    folder, _ = long_texts
    notes: list[str] = []

    def losses(**changes: Any) -> float:
        asked = bertref.EvaluateOptions(
            "classification", str(folder / "dev.csv"), model=str(folder / "out"), **changes
        )
        return bertref.evaluate(asked, notes.append).metrics["loss"]

    recorded = read_results(folder / "out")["metrics"]["loss"]
    assert losses() == pytest.approx(recorded, rel=1e-6)
    assert sum("windows of 24 tokens" in note for note in notes) == 1
    assert losses(windows=True, max_length=24) == pytest.approx(recorded, rel=1e-6)
    assert losses(truncate="head") != pytest.approx(recorded, rel=1e-3)
    rows = [json.loads(line) for line in (folder / "out/predictions/dev/predictions.jsonl").read_text().splitlines()]
    truth = ("wet", "dry")
    assert np.mean([-np.log(row["scores"][t]) for row, t in zip(rows, truth, strict=True)]) == pytest.approx(
        recorded, rel=1e-6
    )
