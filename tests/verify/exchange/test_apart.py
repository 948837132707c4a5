"""A dump says where its gradients are of another run than its values; then they are judged as such."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bertref.errors import InputError
from bertref.verify.cases.case import generate
from bertref.verify.exchange import read_dump, write_answers
from bertref.verify.judgement.judge import compare
from bertref.verify.records import TWO_RUNS, Arrays, Case, Report
from bertref.verify.subjects.dump import DumpSubject
from tests.verify.right import SINGLES, TwoRuns

from . import folders


@cache
def the_case() -> Case:
    return generate(5, edge="large-scores", optimizer=None)


@cache
def values() -> Arrays:
    return TwoRuns(SINGLES[0], SINGLES[1]).answer(the_case()).values


def judged(folder: Path, found: Arrays, *apart: str) -> Report:
    subject = DumpSubject(write_answers(found, the_case(), folder, precision="float32", apart=apart))
    return compare(the_case(), subject.answer(the_case()), subject.precision)


def test_gradients_of_another_run_are_right_if_the_dump_says_so(tmp_path: Path) -> None:
    report = judged(tmp_path / "said", values(), "grad")
    assert report.verdict == "right"
    assert TWO_RUNS["grad"] in report.notes
    silent = judged(tmp_path / "silent", values())
    assert silent.first is not None
    assert silent.first.startswith("grad:")
    assert TWO_RUNS["grad"] not in silent.notes


def test_a_wrong_gradient_of_another_run_is_found(tmp_path: Path) -> None:
    wrong = values() | {"grad:layer.1.value": values()["grad:layer.1.value"] * 1.001}
    assert judged(tmp_path / "wrong", wrong, "grad").first == "grad:layer.1.value"


def test_parts_that_are_not_there_are_not_apart(tmp_path: Path) -> None:
    forward = {name: value for name, value in values().items() if ":" not in name}
    folder = write_answers(forward, the_case(), tmp_path / "a", apart=["grad", "update"])
    answers = DumpSubject(folder).answer(the_case())
    assert (answers.apart, answers.notes) == (frozenset(), ())


@pytest.mark.parametrize("said", ["grad,update", ["update", "grad"]])
def test_both_forms_of_an_index_say_it(tmp_path: Path, said: Any) -> None:
    few = folders.some("pooled", "grad:pooled")
    assert read_dump(folders.dump(tmp_path / "json", few, apart=said)).apart == {"grad", "update"}
    first = f"#bertref\tversion=1\tseed={folders.case().origin['seed']}\tapart=grad"
    assert read_dump(folders.dump_tsv(tmp_path / "tsv", few, first)).apart == {"grad"}
    assert read_dump(folders.dump(tmp_path / "plain", few)).apart == frozenset()


@pytest.mark.parametrize("said", ["gradients", "", 3, ["grad", 3], {"grad": 1}])
def test_another_word_is_refused(tmp_path: Path, said: Any) -> None:
    with pytest.raises(InputError, match=r"apart is .*; it is grad, update, or both with a comma"):
        read_dump(folders.dump(tmp_path / "a", folders.some("pooled"), apart=said))


def test_a_dump_of_one_run_says_nothing_of_it(tmp_path: Path) -> None:
    folder = write_answers(folders.some("pooled"), folders.case(), tmp_path / "a")
    assert "apart" not in json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert "apart" not in (folder / "index.tsv").read_text(encoding="utf-8")
