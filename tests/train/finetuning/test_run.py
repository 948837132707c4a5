"""A run: it learns, keeps the best, can be stopped at any step and goes on bit-equal, and leaves a model that opens."""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertref
from bertref.errors import InputError
from bertref.train.finetuning.run import FinetuneResult
from bertref.train.finetuning.setup import basis_of, set_up
from bertref.train.report import silent

from ..pretraining.running import Log
from . import running
from .running import cache, run, weights  # noqa: F401


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_it_learns_and_the_model_answers(tmp_path: Path) -> None:
    result, log = run(tmp_path, steps=60, learning_rate=1e-2, dropout=0.0, eval_every=20)
    assert result.status == "finished"
    assert result.metrics["accuracy"] > 0.9
    assert any("has no classifier; newly made" in v["text"] for v in log.of("message"))
    model = bertref.load(tmp_path / "out")
    assert model.labels == ("dry", "wet")
    answers = model.classify_batch([text for text, _ in running.sentences(24, 5)])
    right = [best[0].label == label for best, (_, label) in zip(answers, running.sentences(24, 5), strict=True)]
    assert np.mean(right) == pytest.approx(result.metrics["accuracy"])


def test_results_and_card(tmp_path: Path) -> None:
    result, _ = run(tmp_path)
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["metrics"] == {k: v for k, v in result.metrics.items() if np.isfinite(v)} | {
        k: None for k, v in result.metrics.items() if not np.isfinite(v)
    }
    assert [e["step"] for e in found["evaluations"]] == [3, 6, 9, 12]
    card = (tmp_path / "out" / "README.md").read_text()
    for said in ("accuracy", "seed: 12345", "learning_rate: 0.001", "train.csv", "labels: dry, wet"):
        assert said in card


def test_the_best_evaluation_is_kept(tmp_path: Path) -> None:
    """The last one is not the best here: its weights are those of no step but the best."""
    result, _ = run(tmp_path, metric="loss", learning_rate=0.3, steps=9)
    evaluations = json.loads((tmp_path / "out" / "results.json").read_text())["evaluations"]
    losses = {each["step"]: each["metrics"]["loss"] for each in evaluations}
    assert result.best_step == min(losses, key=lambda step: losses[step])
    assert result.best_step != 9, "the case must have its best before the end"
    short, _ = run(tmp_path, "short", metric="loss", learning_rate=0.3, steps=9, stop_after=result.best_step)
    assert short.status == "interrupted"
    assert equal(weights(tmp_path / "out"), weights(tmp_path / "short" / f"checkpoint-{result.best_step}"))
    assert not (tmp_path / "out" / "best").exists()


CHANGES: list[dict[str, Any]] = [{}, {"accumulate": 3, "layout": "padded", "recompute": "layers"}]
FAST = [(1, {}), (3, {}), (4, {}), (5, CHANGES[1])]
STOPS = [
    pytest.param(stop, changes, marks=() if (stop, changes) in FAST else pytest.mark.slow)
    for changes in CHANGES
    for stop in (1, 3, 4, 5, 11)
]
"""Steps after the first, an evaluation, a checkpoint, neither of them, and before the last."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], tuple[Path, FinetuneResult]]:
    """The folder and the result of a run that nobody stopped."""

    @lru_cache
    def made(number: int) -> tuple[Path, FinetuneResult]:
        folder = tmp_path_factory.mktemp("whole")
        return folder, run(folder, **CHANGES[number])[0]

    return lambda changes: made(CHANGES.index(changes))


@pytest.mark.parametrize(("stop", "changes"), STOPS)
def test_a_stopped_run_goes_on_bit_equal(whole: Any, stop: int, changes: dict[str, Any]) -> None:
    folder, result = whole(changes)
    out = f"stopped-{stop}"
    first, _ = run(folder, out, stop_after=stop, **changes)
    assert first.status == "interrupted"
    second, _ = run(folder, out, resume=True, **changes)
    assert second.status == "finished"
    assert (second.best_step, second.metrics) == (result.best_step, pytest.approx(result.metrics, nan_ok=True, abs=0))
    for name in ("", "checkpoint-12"):  # the best weights may be older than the stop; the last ones never are
        assert equal(weights(folder / "out" / name), weights(folder / out / name))


def test_what_is_shown_and_how_often_changes_no_bit(whole: Any) -> None:
    folder, _ = whole({})
    run(folder, "quiet", log_every=100, save_every=100)
    assert equal(weights(folder / "out"), weights(folder / "quiet"))


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    result, _ = run(tmp_path)
    again, _ = run(tmp_path, resume=True)
    assert again.status == "already finished"
    assert again.metrics == pytest.approx(result.metrics, nan_ok=True)
    with pytest.raises(InputError, match=r"learning-rate was 0\.001 and is 0\.01"):
        run(tmp_path, resume=True, learning_rate=0.01)


def test_patience_ends_a_run(tmp_path: Path) -> None:
    result, _ = run(tmp_path, learning_rate=0.0, patience=2, steps=30)
    assert (result.status, result.step, result.best_step) == ("finished", 9, 3)


def test_features_are_made_once(tmp_path: Path) -> None:
    options = running.options(running.prepared(tmp_path))
    setup = set_up(basis_of(options, tmp_path / "none"), silent)
    made = {path.name: path.stat().st_mtime_ns for path in Path(setup.store.ids.filename).parent.iterdir()}  # type: ignore[attr-defined]
    setup = set_up(basis_of(options, tmp_path / "none"), silent)
    again = {path.name: path.stat().st_mtime_ns for path in Path(setup.store.ids.filename).parent.iterdir()}  # type: ignore[attr-defined]
    assert made == again
    with (tmp_path / "train.csv").open("a") as file:
        file.write('"the river",wet\n')
    assert len(set_up(basis_of(options, tmp_path / "none"), silent).store) == len(setup.store) + 1


def test_frozen_parameters_and_layer_decay(tmp_path: Path) -> None:
    run(tmp_path, freeze="1", layer_decay=0.5, metric="loss")
    before, after = weights(tmp_path / "model"), weights(tmp_path / "out")
    for name in before:
        frozen = name.startswith("bert.embeddings.") or ".layer.0." in name
        if frozen or "key.bias" not in name:  # the gradient of a key's bias is 0 but for rounding
            assert np.array_equal(before[name], after[name]) is frozen, name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_length": 49}, "--max-length 49 is longer than the model's 48 positions"),
        ({"freeze": "3"}, "--freeze is '3'"),
        ({"metric": "bleu"}, "there is no metric 'bleu' for classification"),
        ({"class_weights": "1,2,3"}, "--class-weights is '1,2,3'"),
        ({"labels": ("dry",)}, "the label 'wet' is unknown; there are dry"),
        ({"task": "regression", "metric": None}, "a finite number is needed"),
        ({"task": "clasification"}, "is it 'classification'"),
        ({"data": "nowhere.csv"}, "nowhere.csv"),
        ({"text": "words"}, "words"),
        ({"steps": 0}, "--steps is 0"),
        ({"epochs": 1.0}, "leave one out"),
    ],
)
def test_bad_input_is_one_clear_sentence(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        run(tmp_path, **changes)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_resumed_with_other_data(tmp_path: Path) -> None:
    run(tmp_path, stop_after=5)
    running.table(tmp_path / "train.csv", 41)
    with pytest.raises(InputError, match="the data to learn from have changed since the run began"):
        run(tmp_path, resume=True)


def test_a_copy_of_a_file_is_split_alike(tmp_path: Path) -> None:
    """Features are cached by content: the examples held out must be those of the content, too."""
    running.prepared(tmp_path)
    (tmp_path / "copy.csv").write_bytes((tmp_path / "train.csv").read_bytes())
    parts = []
    for name in ("train.csv", "copy.csv"):
        options = running.options(tmp_path, data=str(tmp_path / name), dev=None, held_out=0.3)
        setup = set_up(basis_of(options, tmp_path / "none"), silent)
        parts.append(([e.text for e in setup.evaluated["held-out"].read()], len(setup.store)))
    assert parts[0] == parts[1]
    assert len(parts[0][0]) == 12


def test_what_is_held_out_is_said_as_it_is(tmp_path: Path) -> None:
    """Whole groups are seldom the share that was asked for, nor is one example of a few."""
    running.prepared(tmp_path)
    sentences = running.sentences(12)
    rows = "".join(f'"{text}",{label},{"a" if i < 7 else "b"}\n' for i, (text, label) in enumerate(sentences))
    (tmp_path / "grouped.csv").write_text("text,label,who\n" + rows)
    (tmp_path / "few.csv").write_text("".join(["text,label\n", *(f'"{t}",{"ab"[i % 2]}\n' for i, (t, _) in
                                               enumerate(sentences[:4]))]))  # fmt: skip
    said = []
    for name, changes in (("grouped.csv", {"group": "who"}), ("few.csv", {"held_out": 0.1})):
        log = Log()
        options = running.options(tmp_path, data=str(tmp_path / name), dev=None, **changes)
        setup = set_up(basis_of(options, tmp_path / "none"), log)
        said.append((log.of("message")[0]["text"], sum(1 for _ in setup.evaluated["held-out"].read())))
    (groups, held_out), (few, one) = said
    assert groups.startswith(f"{held_out} of 12 examples are held out ({held_out / 12:.0%}), whole groups, to evaluate")
    assert held_out in (5, 7)
    assert one == 1
    assert few.startswith("1 of 4 examples is held out (25%) to evaluate on")


def test_seeds_are_compared_on_one_set(tmp_path: Path) -> None:
    running.prepared(tmp_path)
    found = []
    for seed in (1, 2):
        options = running.options(tmp_path, dev=None, held_out=0.3, seed=seed, max_examples=10)
        found.append(set_up(basis_of(options, tmp_path / "none"), silent))
    texts = [[e.text for e in setup.evaluated["held-out"].read()] for setup in found]
    assert texts[0] == texts[1]
    assert len(found[0].store) == 10


def test_a_sample_knows_all_labels(tmp_path: Path) -> None:
    running.prepared(tmp_path)
    with (tmp_path / "train.csv").open("a") as file:
        file.write('"the sea",salty\n')
    options = running.options(tmp_path, max_examples=3)
    assert set_up(basis_of(options, tmp_path / "none"), silent).labels == ("dry", "salty", "wet")


def test_a_head_that_is_there_is_kept_for_its_labels(tmp_path: Path) -> None:
    result, _ = run(tmp_path, "first", steps=40, learning_rate=1e-2)
    again: dict[str, Any] = {"model": str(tmp_path / "first"), "learning_rate": 0.0, "steps": 1}
    same, log = run(tmp_path, "same", **again)
    assert same.metrics == pytest.approx(result.metrics, nan_ok=True)
    assert not any("head" in v["text"] or "classifier" in v["text"] for v in log.of("message"))
    turned, log = run(tmp_path, "turned", labels=("wet", "dry"), **again)
    assert turned.metrics["accuracy"] == pytest.approx(result.metrics["accuracy"])
    assert any("its labels are put in the order wet, dry" in v["text"] for v in log.of("message"))
    with (tmp_path / "train.csv").open("a") as file:
        file.write('"the sea",salty\n')
    _, log = run(tmp_path, "other", **again)
    said = [v["text"] for v in log.of("message")]
    assert any("its head is for other labels (dry, wet)" in text for text in said)
    assert any("has no classifier; newly made" in text for text in said)


def test_what_is_predicted_on_is_read_before_the_training(tmp_path: Path) -> None:
    running.prepared(tmp_path)
    (tmp_path / "more.csv").write_text("text,label\nthe river,wet\nthe sea,salty\n")
    with pytest.raises(InputError, match=r"more\.csv, line 3: the label 'salty' is unknown"):
        run(tmp_path, predict_on=(str(tmp_path / "more.csv"),))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"held_out": 0.5}, "--dev and --held-out both say what to evaluate on"),
        ({"accumulate": 100}, "a batch of 8 can't be split into 100 chunks"),
        ({"eval_every": -1}, "--eval-every is -1"),
        ({"epochs": float("inf"), "steps": None}, "--epochs is inf"),
        ({"labels": "dry,wet"}, "labels is the string 'dry,wet'"),
        ({"max_query_length": 5}, "--max-query-length does nothing for classification"),
        ({"stride": 5}, "--stride does nothing without --windows"),
        ({"temperature": 3.0}, "--temperature does nothing without --teacher"),
        ({"task": "regression", "label_smoothing": 0.1}, "--label-smoothing does nothing for regression"),
        ({"task": "sst-2", "text": "sentence"}, "--text says nothing about the files of sst-2"),
        ({"task": "conll", "text": "word"}, "--text is 'word'; the columns of a column file are numbered from 1"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        run(tmp_path, **changes)
    assert said in str(caught.value)


def test_one_class_only(tmp_path: Path) -> None:
    running.prepared(tmp_path)
    (tmp_path / "train.csv").write_text("text,label\nthe river,wet\nthe sea,wet\n")
    with pytest.raises(InputError, match="every example has the label 'wet'"):
        run(tmp_path)


def test_a_label_that_only_the_development_part_has(tmp_path: Path) -> None:
    running.prepared(tmp_path)
    (tmp_path / "dev.csv").write_text("text,label\nthe river,wet\nthe sea,salty\n")
    with pytest.raises(InputError, match=r"dev\.csv, line 3: the label 'salty' is unknown; there are dry, wet"):
        run(tmp_path)
