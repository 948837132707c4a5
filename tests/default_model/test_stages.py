"""The order of the stages: what needs each other in turn, the rest at once; commands that fail, and where to look."""

from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from bertref.default_model.training import __main__ as training
from bertref.default_model.training.stages import Stage, StageFailed, TrainingPlaces, bertref, chains, stages
from bertref.errors import InputError

from . import small


def stage(name: str, chain: str | None = None) -> Stage:
    return Stage(name, Path(name), lambda: None, chain=chain)


def names(groups: list[list[list[Stage]]]) -> list[list[list[str]]]:
    return [[[each.name for each in chain] for chain in group] for group in groups]


def test_what_needs_each_other_comes_in_turn() -> None:
    todo = [stage("a"), stage("b", "one"), stage("c", "one"), stage("d", "two"), stage("e")]
    assert names(list(chains(todo))) == [[["a"]], [["b", "c"], ["d"]], [["e"]]]


def test_masked_words_and_the_teacher_are_made_at_once(tmp_path: Path) -> None:
    places = TrainingPlaces(tmp_path, tmp_path, "teacher", tmp_path / "out")
    several = [group for group in names(list(chains(stages(places, small.RECIPE)))) if len(group) > 1]
    assert several == [[["words-short", "words"], ["teacher"]]]


def test_at_once_is_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the other, so that neither would end alone."""
    places = TrainingPlaces(tmp_path, tmp_path, "teacher", tmp_path / "out")
    met = Barrier(2, timeout=20)
    made = [Stage(name, tmp_path / name, lambda: (met.wait(), None)[1], chain=name) for name in "ab"]
    monkeypatch.setattr(training, "stages", lambda *_: iter([*made, stage("c")]))
    training.run(places, small.RECIPE, until="b")
    times = (tmp_path / "out" / "times.jsonl").read_text()
    assert sorted(line.split('"')[3] for line in times.split("\n")[:-1]) == ["a", "b"]


def test_what_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that was killed in the middle of a stage goes on with that one."""
    places = TrainingPlaces(tmp_path, tmp_path, "teacher", tmp_path / "out")
    made: list[str] = []

    def make(name: str) -> None:
        made.append(name)
        if made == ["a", "b"]:
            raise KeyboardInterrupt
        (tmp_path / name).touch()

    monkeypatch.setattr(
        training, "stages", lambda *_: iter([Stage(name, tmp_path / name, partial(make, name)) for name in "abc"])
    )
    with pytest.raises(KeyboardInterrupt):
        training.run(places, small.RECIPE, until="c")
    for _ in range(2):
        training.run(places, small.RECIPE, until="c")
        assert made == ["a", "b", "b", "c"]


def test_a_stage_that_does_not_exist_is_named(tmp_path: Path) -> None:
    places = TrainingPlaces(tmp_path, tmp_path, "teacher", tmp_path / "out")
    with pytest.raises(InputError, match="no stage is called 'wrods'; there are data, vocabulary, corpus"):
        training.run(places, small.RECIPE, until="wrods")


def test_a_command_that_fails_says_where_its_output_is(tmp_path: Path) -> None:
    log = tmp_path / "vocab.log"
    with pytest.raises(StageFailed, match=f"`bertref vocab nothing.txt` ended with 2; see {log}"):
        bertref("vocab", "nothing.txt", output=log)
    assert "nothing.txt" in log.read_text()
