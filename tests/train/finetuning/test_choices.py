"""Fine-tuning for multiple choice, from start to end: SWAG's table, and sentences of novels in its form."""

from pathlib import Path

import pytest

import bertref
from bertref.errors import InputError

from . import tiny
from .running import Log, cache  # noqa: F401


def test_it_learns_and_the_model_answers(tmp_path: Path) -> None:
    log = Log()
    result = tiny.run(tmp_path, "swag", tiny.CHOICES, log, steps=40, learning_rate=3e-3)
    assert result.metrics["accuracy"] == 1
    assert set(result.metrics) == {"accuracy", "loss"}
    assert log.of("start")[0]["examples"] == 3
    best = bertref.load(result.out).choose("It rained.", ["He lived in the city", "He wrote", "He went"])[0]
    assert best.text == "He went"


def test_padded_and_packed_learn_the_same(tmp_path: Path) -> None:
    losses = {
        layout: tiny.run(tmp_path, "swag", tiny.CHOICES, layout=layout, out=str(tmp_path / layout)).metrics["loss"]
        for layout in ("padded", "packed")
    }
    assert losses["padded"] == pytest.approx(losses["packed"], rel=1e-10)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows in it"):
        tiny.run(tmp_path, "swag", tiny.CHOICES.split("\n")[0] + "\n")
