"""Live subjects: asked twice, judged, and reported in a text that says what is wrong and where."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.verify import checking
from bertref.verify.cases.case import generate
from bertref.verify.checking import assert_matches, check
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.reference import reference
from bertref.verify.meant import as_subject, case_for
from bertref.verify.records import Answers, Case, Diagnosis
from bertref.verify.subject import Weights


class Subject:
    """Our own code in float32; `change` spoils what it says in the how-many-th run."""

    name, live = "test", True
    precision: str | None = "float32"

    def __init__(self, change: Any = None) -> None:
        self.runs, self._change = 0, change

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        self.runs += 1
        values = reference(case, wanted, dtype="float32").values
        return Answers(self._change(values, self.runs) if self._change else values)


def noisy(size: float) -> Any:
    """From layer.0.context on every run is another."""

    def change(values: dict[str, Any], run: int) -> dict[str, Any]:
        draw = np.random.default_rng(run)
        spoilt = {}
        for name, value in values.items():
            factor = 1 + size * draw.standard_normal(value.shape) if "embeddings" not in name else 1
            spoilt[name] = (value * factor).astype(np.float32)
        return spoilt

    return change


def test_a_right_subject_is_asked_twice() -> None:
    subject = Subject()
    report = check(subject, generate(21))
    assert (report.verdict, report.exit_code, subject.runs) == ("right", 0, 2)
    assert set(report.seconds) == {"subject", "again", "judging"}


class WithRelu(Subject):
    """Its activation is another one than the case's, and all else right."""

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        return super().answer(replace(case, config=replace(case.config, hidden_act="relu")), wanted)


def test_why_it_diverges_is_asked_in_another_case() -> None:
    subject = WithRelu()
    report = check(subject, generate(21), only="forward")
    assert report.diagnosis is not None
    assert [cause.id for cause in report.diagnosis.causes] == ["activation.relu"]
    assert subject.runs == 3
    assert "diagnosis" in report.seconds
    assert check(subject, generate(21), only="forward", diagnosis=False).diagnosis is None
    seen = []
    assert check(subject, generate(21), only="forward", diagnosis=seen.append).diagnosis is None
    assert [one.first for one in seen] == [report.first]


def test_a_subject_that_can_not_answer_another_case_is_diagnosed_from_one() -> None:
    class Fixed(WithRelu):
        def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
            if case.batch.input_ids.shape != (5, 13):
                raise RuntimeError("5 rows of 13 tokens, and nothing else")
            return super().answer(case, wanted)

    report = check(Fixed(), generate(21), only="forward")
    assert report.diagnosis is not None
    assert [cause.id for cause in report.diagnosis.causes] == ["activation.relu"]
    assert report.notes[-1] == ("causes are proved by this case alone; the subject can't answer another one: "
                                "RuntimeError: 5 rows of 13 tokens, and nothing else")  # fmt: skip


def test_who_always_takes_a_step_is_asked_another_case_with_one() -> None:
    """Where only forward answers are compared, the other case has none at first."""
    class Stepping(WithRelu):
        def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
            assert case.optimizer is not None
            self.steps = (*self.steps, case.optimizer.step)
            return super().answer(case, wanted)

        steps: tuple[int, ...] = ()

    subject = Stepping()
    report = check(subject, generate(21), only="forward")
    assert report.diagnosis is not None
    assert [cause.id for cause in report.diagnosis.causes] == ["activation.relu"]
    assert len(set(subject.steps)) == 2
    assert not any("this case alone" in note for note in report.notes)


def test_a_defect_of_the_diagnosis_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr(checking, "diagnose", broken)
    with pytest.warns(checking.DiagnosisFailed, match="the search for the cause failed: ZeroDivisionError: by hand"):
        report = check(WithRelu(), generate(21), only="forward")
    assert report.first == "layer.0.ffn_act"
    assert report.diagnosis == Diagnosis("failed", note="ZeroDivisionError: by hand")


@pytest.mark.parametrize(("name", "bad"), [("input_ids", 10**6), ("input_ids", -1), ("token_type_ids", 2)])
def test_ids_beyond_a_table_are_refused_before_anybody_is_asked(name: str, bad: int) -> None:
    case = generate(21)
    ids = getattr(case.batch, name).copy()
    ids[0, 1] = bad
    subject = Subject()
    with pytest.raises(InputError, match=f"{name}, row 0, column 1: the model's table has no row {bad}"):
        check(subject, replace(case, batch=replace(case.batch, **{name: ids})))
    assert subject.runs == 0


def test_a_dump_is_asked_once() -> None:
    subject = Subject()
    subject.live = False
    check(subject, generate(21))
    assert subject.runs == 1


def test_dropout_is_reported_as_itself() -> None:
    report = check(Subject(noisy(0.1)), generate(21))
    assert report.verdict == "diverges"
    assert report.first == "layer.0.query"
    first = next(f for f in report.findings if f.name == report.first)
    assert first.status == "unsteady"
    assert "two runs" in report.notes[0]


def one_dropout(second: str = "") -> Any:
    """The sum behind layer 0's feed-forward network is another in every run; `second` is off by a thousandth."""

    def change(values: dict[str, Any], run: int) -> dict[str, Any]:
        kept = np.random.default_rng(run).random(values["layer.0.ffn_output"].shape) > 0.1
        recorded = {name: value for name, value in values.items() if not after("layer.0.ffn_output", name)}
        recorded["layer.0.ffn_sum"] = values["layer.0.ffn_output"] * kept + values["layer.0.attention_norm"]
        replay = Replay(Graph(generate(21)), recorded)
        for step in Graph(generate(21)):
            if ":" not in step.name and step.name not in recorded:
                factor = np.float32(1.001) if step.name == second else 1
                recorded[step.name] = replay(step.name).astype(np.float32) * factor
        return recorded

    return change


def after(name: str, other: str) -> bool:
    order = [step.name for step in Graph(generate(21))]
    return order.index(other) > order.index(name)


def test_behind_one_dropout_everything_is_right_for_its_inputs() -> None:
    report = check(Subject(one_dropout()), generate(21), only="forward")
    status = {f.name: f.status for f in report.findings}
    assert report.first == "layer.0.ffn_sum"
    assert report.last_right == "layer.0.ffn_output"
    assert status.pop("layer.0.ffn_sum") == "unsteady"
    assert set(status.values()) == {"right", "inherited"}
    assert status["layer.1.query"] == "inherited"
    assert "differ from layer.0.ffn_sum on" in report.notes[0]


def test_a_mistake_behind_dropout_still_shows() -> None:
    report = check(Subject(one_dropout("layer.1.key")), generate(21), only="forward")
    wrong = {f.name: f.status for f in report.findings if f.status in ("unsteady", "added", "wrong")}
    assert wrong == {"layer.0.ffn_sum": "unsteady", "layer.1.key": "added"}


def test_runs_that_differ_by_rounding_are_steady_enough() -> None:
    report = check(Subject(noisy(2e-8)), generate(21))
    assert report.verdict == "right"
    assert any("by no more than rounding" in note for note in report.notes)


def test_only_what_is_wanted_is_asked_for() -> None:
    report = check(Subject(), generate(21), wanted=["layer.1.output", "loss.total"])
    assert {f.name for f in report.findings if f.status == "right"} == {"layer.1.output", "loss.total"}


def test_assert_matches_says_what_is_wrong() -> None:
    def change(values: dict[str, Any], run: int) -> dict[str, Any]:
        spoilt = values["layer.1.context"].copy()
        spoilt[0, :, :8] *= np.float32(1.01)
        return {**values, "layer.1.context": spoilt}

    with pytest.raises(AssertionError) as caught:
        assert_matches(Subject(change), seed=21)
    text = str(caught.value)
    for words in ("layer.1.context", "row 0", "head 0", "layer.1.probs"):
        assert words in text
    assert assert_matches(Subject(), seed=21).verdict == "right"


def test_a_torch_model_is_a_subject() -> None:
    import transformers

    from bertref.verify.cases.case import SIZES

    n = SIZES["tiny"]
    config = transformers.BertConfig(
        vocab_size=n["V"], hidden_size=n["H"], num_hidden_layers=1, num_attention_heads=n["A"],
        intermediate_size=n["I"], max_position_embeddings=n["S"],
    )  # fmt: skip
    report = assert_matches(transformers.BertForPreTraining(config).eval())
    assert report.case["config"]["num_hidden_layers"] == 1
    subject = as_subject(transformers.BertForPreTraining(config).eval())
    case = case_for(subject, optimizer="adam-l2", step=3, numerics={"mlm_denominator_epsilon": 1e-5})
    report = check(subject, case, repeat=False)
    assert report.verdict == "right"
    assert (report.case["optimizer"]["kind"], report.case["optimizer"]["step"]) == ("adam-l2", 3)
    assert "update:cls.predictions.bias" in {f.name for f in report.findings if f.status == "right"}
    assert case_for(subject, optimizer=None).optimizer is None
    with pytest.raises(InputError, match="brings its own model, so that dialect can't be chosen"):
        case_for(subject, dialect="google")


def test_the_case_is_of_the_subject_s_own_weights() -> None:
    base = generate(9, L=1)
    own = {name: np.asarray(value, np.float32) for name, value in base.params.items()}

    class Brings(Subject):
        def weights(self) -> Weights:
            return Weights(base.config, base.numerics, own)

    case = case_for(Brings(), 4)
    assert all((case.params[name] == value).all() for name, value in own.items())
    assert check(Brings(), case).verdict == "right"
