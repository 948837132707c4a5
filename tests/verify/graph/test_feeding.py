"""Single steps from the reference's inputs: right ones are called right, and a wrong one is found by its name."""

import re
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from bertref.backends import get
from bertref.errors import InputError
from bertref.ops import gelu_erf, gelu_tanh
from bertref.verify import checking
from bertref.verify.cases.case import generate
from bertref.verify.cases.targets import HEADS
from bertref.verify.emulation.formats import FORMATS, nearest
from bertref.verify.graph.feeding import FED, Feeder
from bertref.verify.judgement.reference import reference
from bertref.verify.records import WRONG, Answers, Arrays, Case, Finding, Report
from bertref.verify.report.words import explain
from bertref.verify.subjects import parse
from bertref.verify.subjects.backend import BackendSubject
from bertref.verify.subjects.python import PythonSubject

check = partial(checking.check, diagnosis=False)
"""For verdicts: why something is wrong is not looked for."""

SEED = 5
OUTPUTS = ("layer.0.output", "layer.1.output", "loss.total")
HANDED_ON = {"grad:embeddings.word", "grad:embeddings.position", "grad:embeddings.token_type", "grad:loss.total",
             "grad:loss.mlm", "grad:loss.nsp", "grad:layer.0.ffn_output", "grad:layer.1.ffn_output",
             "grad:layer.0.attention_output", "grad:layer.1.attention_output"}  # fmt: skip
Change = Callable[[Any, Arrays], Any]


@pytest.fixture(scope="module")
def case() -> Case:
    return generate(SEED)


class Fed:
    """Right steps of a backend but for those that `changes` spoil; its run shows `shown` alone, and that right."""

    name, live = "fed", True

    def __init__(self, changes: dict[str, Change], *, shown: Collection[str] = OUTPUTS, dtype: str = "float32") -> None:
        self.precision: str | None = dtype
        self._changes, self._shown = changes, shown
        self._steps = BackendSubject(
            "torch" if dtype in ("bfloat16", "float16") else "numpy", dtype=dtype, kernels=False
        )
        self.asked: list[str] = []
        self.inputs: dict[str, Arrays] = {}

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        names = [name for name in self._shown if wanted is None or name in wanted]
        return reference(case, names, dtype=str(self.precision))

    def answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
        self.asked.append(name)
        self.inputs |= inputs
        answer = self._steps.answer_step(case, name, inputs)
        for one in answer.keys() & self._changes.keys():
            answer[one] = self._changes[one](answer[one], inputs)
        return answer


def found(subject: Any, case: Case, precision: str, names: Collection[str] | None = None) -> dict[str, Finding]:
    feeder = Feeder(case, precision)
    with np.errstate(all="ignore"):
        return feeder.findings(feeder.ask(subject, names))


def finding(report: Report, name: str) -> Finding:
    return next(one for one in report.findings if one.name == name)


def scaled(value: Any, _: Arrays) -> Any:
    return value * np.float32(1.001)


def last_row(value: Any, _: Arrays) -> Any:
    value = value.copy()
    value[-1] *= np.float32(1.001)
    return value


def other_gelu(_: Any, inputs: Arrays) -> Any:
    (x,) = inputs.values()
    return gelu_tanh.forward(get("numpy").xp, x)[0]


# ---------------------------------------------------------------------------------------------------------------------
# right


@pytest.mark.parametrize("spec", ["numpy:kernels=off", "torch", "torch:dtype=float64"])
def test_every_step_of_a_backend_is_right(spec: str, case: Case) -> None:
    subject = parse(spec)
    judged = found(subject, case, str(subject.precision))
    assert [name for name, one in judged.items() if one.status != "right"] == []
    assert {step.name for step in Feeder(case, "float32").graph} - set(judged) == HANDED_ON
    assert max(one.own or 0 for one in judged.values()) < 5


GIVEN = {
    "encoder": {"loss.total", "grad:layer.0.output"},
    "pooler": {"loss.total", "grad:layer.0.output", "grad:pooled"},
    "sentence_embedding": {
        "loss.total", "grad:layer.0.output", "sentence.mean", "sentence.embedding", "grad:sentence.mean",
        "grad:sentence.embedding",
    },
    "masked_lm": {"loss.total"},
}  # fmt: skip
"""What is left out beside what is only handed on: sums with given gradients, and a total of one loss."""


@cache
def of_head(head: str) -> Case:
    return generate(SEED, head=head, L=1)


@pytest.mark.parametrize("head", HEADS)
def test_every_step_of_every_head_is_right(head: str) -> None:
    judged = found(parse("numpy:kernels=off"), of_head(head), "float32")
    assert [name for name, one in judged.items() if one.status != "right"] == []
    steps = {step.name for step in Feeder(of_head(head), "float32").graph}
    assert steps - set(judged) == (HANDED_ON & steps) | GIVEN.get(head, set())


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("sequence_classification", "classifier.logits"), ("regression", "loss.total"),
        ("multi_label", "grad:classifier.logits"), ("multiple_choice", "grad:pooled"),
        ("token_classification", "grad:layer.0.output"), ("question_answering", "grad:qa.logits"),
        ("question_answering", "grad:qa_outputs.weight"), ("masked_lm", "mlm.transform"), ("pooler", "pooled"),
        ("next_sentence", "nsp.logits"), ("encoder", "layer.0.context"),
    ],
)  # fmt: skip
def test_a_wrong_step_of_a_head_is_found_and_no_other(head: str, name: str) -> None:
    judged = found(Fed({name: scaled}), of_head(head), "float32")
    assert [one.name for one in judged.values() if one.status in WRONG] == [name]


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_steps_in_half_precision_are_right(dtype: str, case: Case) -> None:
    judged = found(parse(f"torch:dtype={dtype}"), case, dtype)
    assert [name for name, one in judged.items() if one.status != "right"] == []
    assert len(judged) > 150


def test_kernels_are_fed_where_one_is_a_step(case: Case) -> None:
    report = check("numpy", case, feed=True)
    assert report.verdict == "right"
    note = next(note for note in report.notes if FED in note)
    assert note.endswith(": all right")
    assert int(note.split()[0]) > 100
    assert "feeding" in report.seconds
    judged = found(parse("numpy"), case, "float32")
    assert {"layer.0.ffn_act", "layer.1.attention_norm", "grad:layer.0.ffn_pre", "embeddings.norm"} <= set(judged)
    assert not {"layer.0.scores", "layer.0.ffn_pre", "layer.0.ffn_sum", "mlm.logits", "loss.mlm"} & set(judged)


@pytest.mark.parametrize("edge", ["masked-row", "large-scores"])
def test_edges_are_no_false_alarm(edge: str) -> None:
    case = generate(SEED, edge=edge)
    judged = found(parse("numpy:kernels=off"), case, "float32")
    assert [name for name, one in judged.items() if one.status != "right"] == []


def test_inputs_are_what_the_precision_holds(case: Case) -> None:
    subject = Fed({}, dtype="float16")
    found(subject, case, "float16", ["layer.0.ffn_act", "grad:layer.0.ffn_pre"])
    for value in subject.inputs.values():
        assert value.dtype == np.float32
        assert (nearest(value, FORMATS["float16"]) == value).all()
    right = reference(case, ["grad:layer.0.ffn_act"]).values["grad:layer.0.ffn_act"]
    tokens = case.batch.attention_mask.astype(bool)
    np.testing.assert_allclose(
        subject.inputs["grad:layer.0.ffn_act"][tokens] / 1024, right[tokens], rtol=0.02, atol=1e-5
    )


# ---------------------------------------------------------------------------------------------------------------------
# wrong


@pytest.mark.parametrize("change", [scaled, last_row])
@pytest.mark.parametrize(
    "name", ["embeddings.sum", "layer.0.value", "layer.1.scores", "mlm.logits", "grad:layer.1.ffn_pre",
             "grad:layer.0.key", "grad:bert.encoder.layer.0.output.dense.weight", "update:bert.pooler.dense.weight"],
)  # fmt: skip
def test_a_wrong_step_is_found_and_no_other(name: str, change: Change, case: Case) -> None:
    judged = found(Fed({name: change}), case, "float32")
    assert [one.name for one in judged.values() if one.status in WRONG] == [name]
    assert judged[name].status == "added"
    place = judged[name].place
    assert place is not None
    if change is last_row:
        assert place.index[0] == Feeder(case, "float32").graph.axes(name).shape[0] - 1


def test_the_other_gelu_is_found(case: Case) -> None:
    judged = found(Fed({"layer.1.ffn_act": other_gelu}), case, "float32")
    assert [one.name for one in judged.values() if one.status in WRONG] == ["layer.1.ffn_act"]


def test_the_other_gelu_is_found_in_bfloat16_if_activations_are_rounded_once(case: Case) -> None:
    def rounded(gelu: Any) -> Change:
        return lambda _, inputs: nearest(gelu.forward(get("numpy").xp, *inputs.values())[0], FORMATS["bfloat16"])

    acts = ("layer.0.ffn_act", "layer.1.ffn_act", "mlm.act")
    fused: dict[str, Change] = {name: rounded(gelu_erf) for name in acts}
    forward = [step.name for step in Feeder(case, "bfloat16").graph if not step.name.startswith(("grad:", "update:"))]
    for changes, wrong in ((fused, []), (fused | {acts[0]: rounded(gelu_tanh)}, [acts[0]])):
        judged = found(Fed(changes, dtype="bfloat16"), case, "bfloat16", forward)
        assert [one.name for one in judged.values() if one.status in WRONG] == wrong


def test_what_the_run_does_not_show_is_found(case: Case) -> None:
    assert check(Fed({"layer.1.ffn_act": other_gelu}), case).verdict == "right"
    report = check(Fed({"layer.1.ffn_act": other_gelu}), case, feed=True)
    assert (report.verdict, report.first, report.exit_code) == ("diverges", "layer.1.ffn_act", 1)
    assert report.last_right == "layer.0.output"
    one = finding(report, "layer.1.ffn_act")
    assert (one.status, one.total) == ("added", None)
    assert one.note.startswith(FED)
    assert finding(report, "layer.1.ffn_pre").status == "missing"
    assert finding(report, "layer.1.output").status == "right"
    assert any(note.endswith("1 wrong: layer.1.ffn_act") for note in report.notes)
    assert re.search(r"how wrong +\d+ times what rounding explains in its own step; the limit is 9\n", explain(report))


def test_what_the_run_shows_right_is_found(case: Case) -> None:
    report = check(Fed({"layer.0.context": scaled}, shown=["layer.0.context", "layer.0.value"]), case, feed=True)
    assert report.first == "layer.0.context"
    one = finding(report, "layer.0.context")
    assert one.status == "added"
    assert one.total is not None
    assert one.total < report.limit < (one.own or 0)


def test_what_was_wrong_stays_and_the_first_is_found_anew(case: Case) -> None:
    class Wrong(Fed):
        def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
            values = super().answer(case, wanted).values
            return Answers(values | {"layer.1.output": values["layer.1.output"] * 1.01})

    plain = check(Wrong({}), case)
    report = check(Wrong({"layer.0.value": scaled, "layer.1.output": scaled}), case, feed=True)
    assert plain.first == "layer.1.output"
    assert report.first == "layer.0.value"
    assert finding(report, "layer.1.output") == finding(plain, "layer.1.output")


def test_nan_and_wrong_shapes_are_reported(case: Case) -> None:
    changes: dict[str, Change] = {
        "layer.0.probs": lambda value, _: np.where(value > 0.5, np.nan, value),
        "layer.1.key": lambda value, _: value[:, :-1],
    }
    report = check(Fed(changes), case, feed=True)
    assert (report.verdict, report.first) == ("diverges", "layer.0.probs")
    assert finding(report, "layer.0.probs").status == "not-finite"
    assert FED in finding(report, "layer.0.probs").note
    one = finding(report, "layer.1.key")
    assert (one.status, "is expected" in one.note) == ("shape", True)


# ---------------------------------------------------------------------------------------------------------------------
# what is asked


def test_unknown_steps_are_left_out(case: Case) -> None:
    class Few(Fed):
        def answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
            return super().answer_step(case, name, inputs) if name == "pooled" else {}

    report = check(Few({}), case, feed=True)
    assert report.verdict == "right"
    assert f"1 steps {FED}: all right" in report.notes
    assert (
        check(Few({}), case, wanted=["layer.0.*", "loss.total"], feed=True).notes[-1].startswith("no step can be fed")
    )


def test_what_has_the_same_inputs_may_come_together(case: Case) -> None:
    class Together(Fed):
        def answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
            layer, _, last = name.rpartition(".")
            together = last == "query" and not name.startswith("grad:")
            names = [f"{layer}.{one}" for one in ("query", "key", "value")] if together else [name]
            answer: Arrays = {}
            for one in names:
                answer |= super().answer_step(case, one, inputs)
                self.asked.pop()
            self.asked.append(name)
            return answer

    subject = Together({"layer.1.key": scaled})
    judged = found(subject, case, "float32")
    assert [one.name for one in judged.values() if one.status in WRONG] == ["layer.1.key"]
    assert not {"layer.0.key", "layer.0.value", "layer.1.value"} & set(subject.asked)
    assert sum(name.startswith("update:") for name in subject.asked) == 1


def test_updates_are_asked_for_once_even_if_they_are_left_out(case: Case) -> None:
    class Nothing(Fed):
        def answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
            self.asked.append(name)
            return {}

    subject = Nothing({})
    assert found(subject, case, "float32") == {}
    assert sum(name.startswith("update:") for name in subject.asked) == 1


def test_an_answer_of_another_step_is_refused(case: Case) -> None:
    class Stray(Fed):
        def answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
            return {"layer.0.scores": np.zeros(3)}

    with pytest.raises(InputError, match=r"asked for embeddings.word and gave layer.0.scores"):
        check(Stray({}), case, feed=True)


def test_only_what_is_wanted_is_asked_for(case: Case) -> None:
    subject = Fed({})
    check(subject, case, only="forward", feed=True)
    assert "layer.1.ffn_act" in subject.asked
    assert not any(name.startswith(("grad:", "update:")) for name in subject.asked)


def test_who_can_not_be_fed_says_so(case: Case) -> None:
    with pytest.raises(InputError, match=r"lambda.* can't be fed: it has no answer_step"):
        check(lambda case: {}, case, feed=True)


# ---------------------------------------------------------------------------------------------------------------------
# Python objects


def test_a_function_with_an_attribute_is_fed(case: Case) -> None:
    def forward(case: dict[str, Any]) -> dict[str, Any]:
        return {}

    def answer_step(case: dict[str, Any], name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if name == "pooled":
            return {name: np.tanh(inputs["pooled_pre"])}
        if name == "nsp.logits":
            p = case["params"]
            return {name: inputs["pooled"] @ p["cls.seq_relationship.weight"].T}  # no bias
        return {}

    forward.answer_step = answer_step  # type: ignore[attr-defined]
    judged = found(PythonSubject(forward), case, "float32")
    assert {name: one.status for name, one in judged.items()} == {"pooled": "right", "nsp.logits": "added"}
    assert not hasattr(PythonSubject(lambda case: {}), "answer_step")


def test_what_fails_or_gives_no_dict_says_so(case: Case) -> None:
    class Broken:
        def forward(self, case: dict[str, Any]) -> dict[str, Any]:
            return {}

        def answer_step(self, case: dict[str, Any], name: str, inputs: dict[str, Any]) -> Any:
            if name != "embeddings.word":
                raise KeyError(name)
            return None

    subject: Any = PythonSubject(Broken())
    with pytest.raises(InputError, match=r"Broken: answer_step\(case, 'embeddings.word', inputs\) gave NoneType"):
        subject.answer_step(case, "embeddings.word", {})
    with pytest.raises(InputError, match=r"answer_step\(case, 'pooled', inputs\) failed: KeyError: 'pooled'"):
        subject.answer_step(case, "pooled", {})
