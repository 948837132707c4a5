"""The words say the verdict, the size, the place, the bracket and the next step."""

from dataclasses import replace

import pytest

from bertref.verify.records import WRONG, Diagnosis, Finding, Look, Place
from bertref.verify.report import words
from bertref.verify.report.layout import cell
from tests.verify.report.reports import cause, named, names, report, wrong


def line(found: words.Lines, label: str) -> str:
    [text] = [text for each, text in found if each == label]
    return text


def test_a_right_report_says_how_close_it_came() -> None:
    near = Finding("layer.1.probs", "right", 6.5, 2.0, 1e-7, 1e-7)
    found = report(near)
    assert words.headline(found).startswith(f"RIGHT: torch: {len(names())} tensors within rounding (float32, tiny")
    assert line(words.details(found), "largest").startswith("6.5 times what rounding explains, at layer.1.probs")
    assert words.advice(found, "bertref verify torch") == ""


def test_what_rounding_amplified_is_not_held_against_the_limit() -> None:
    """Right for its inputs, which were right, and 12 times off in total: 12 is not what the limit of 8 is about."""
    far = Finding("grad:layer.1.scores", "right", 12.3, 1.5, 1e-6, 1e-7, note="far from the reference")
    found = words.details(report(far, Finding("layer.1.probs", "right", 2.5, 2.0, 1e-7, 1e-7)))
    assert line(found, "largest").startswith("2.5 times what rounding explains, at layer.1.probs; the limit is")
    assert line(found, "amplified").startswith("1 tensor is up to 12 times off in total (grad:layer.1.scores)")
    assert cell(far) == "1.5"
    assert "amplified" not in dict(words.details(report()))


def test_an_added_error() -> None:
    found = report(wrong("layer.1.ffn_act"), wrong("layer.1.ffn_output", "inherited"), wrong("mlm.act"))
    details = words.details(found)
    assert words.headline(found).startswith("DIVERGES: torch: first wrong tensor layer.1.ffn_act (")
    assert "this step makes the error" in line(details, "first wrong")
    assert line(details, "how wrong").startswith(
        "1234 times what rounding explains in its own step, 4321 times in total"
    )
    assert line(details, "") == "relative error 3.0e-04; a correct float32 implementation's is 8.0e-08"
    assert line(details, "where") == (
        "worst at row 0, position 1, channel 2: -2.5, expected 1.5; nearly all of it in row 0, segment B"
    )
    assert line(details, "last right") == "layer.1.ffn_pre"
    assert line(details, "also wrong") == "mlm.act, 1234 times what rounding explains in its own step"
    assert line(details, "the others") == f"1 inherited their errors; {len(names()) - 3} right"
    assert "the same" not in dict(details)
    assert line(details, "it should be") == "gelu_erf(layer.1.ffn_pre)"
    assert line(details, "look at") == "bertref/ops/gelu_erf.py"
    assert "in between" not in dict(details)
    assert words.advice(found, "bertref verify torch --seed 0").startswith("bertref verify torch --seed 0 --shrink")
    assert words.advice(found) == "compare your code of this step with bertref/ops/gelu_erf.py, line by line"


def test_the_first_line_says_why() -> None:
    found = words.details(named(cause()))
    assert found[:2] == [("cause", cause().sentence), ("change", "set layer_norm_eps=1e-12")]
    assert found[2][0] == "first wrong"
    assert line(found, "explained") == "by the same cause: layer.0.output"
    assert "also wrong" not in dict(found)
    assert line(words.details(named(outcome="unknown")), "also wrong").startswith("layer.0.output")


def test_of_several_possible_causes_none_is_said_to_be_it() -> None:
    other = cause(id="norm.rms", sentence="the mean is not subtracted")
    found = words.details(named(cause(), other, outcome="ambiguous"))
    assert found[:2] == [("either", cause().sentence), ("or", other.sentence)]
    assert "change" not in dict(found)


def test_where_no_cause_is_known_none_is_said() -> None:
    found = words.details(named(outcome="unknown"))
    assert found[0] == ("cause", "unknown: 1 ruled out at embeddings.norm (norm 1)")
    assert found[1][0] == "first wrong"
    assert words.details(named(outcome="failed"))[0][0] == "first wrong"


def test_what_was_not_looked_into_is_unknown() -> None:
    for note, said in {"only that": "only that", "": "none is listed for embeddings.norm"}.items():
        found = replace(named(), diagnosis=Diagnosis("unknown", note=note))
        assert words.details(found)[0] == ("cause", f"unknown: {said}")


def test_a_description_is_said_to_be_no_cause() -> None:
    place, factor = (Look("embeddings.norm", *each) for each in
                     (("place", "wrong only at segment B"), ("factor", "0.5 times what it should be")))  # fmt: skip
    for looks, said in {
        (place,): "wrong only at segment B", (factor,): "0.5 times what it should be",
        (place, factor): "wrong only at segment B; there it is 0.5 times what it should be",
    }.items():  # fmt: skip
        found = words.details(replace(named(), diagnosis=Diagnosis("unknown", looks=looks)))
        assert found[1] == ("looks like", f"embeddings.norm is {said}. That describes it, and is no cause.")
    both = words.details(replace(named(), diagnosis=Diagnosis("named", (cause(),), looks=(place,))))
    assert [label for label, _ in both[:3]] == ["cause", "change", "looks like"]


def test_a_partial_dump_is_bracketed() -> None:
    given = {"layer.0.output", "layer.1.output", "grad:layer.1.output"}
    found = report(wrong("layer.1.output", "wrong"), missing=tuple(set(names()) - given), subject="dump:x")
    inside = [name for name in names() if name.startswith("layer.1.") and name != "layer.1.output"]
    details = words.details(found)
    assert list(found.between) == inside
    assert line(details, "last right") == "layer.0.output"
    assert line(details, "in between").startswith("not given: layer.1.query, layer.1.key, ")
    assert words.advice(found).startswith("have it give layer.1.ffn_sum, too, and verify again")
    at = [label for label, _ in details].index("it should be")
    formulas = [text for _, text in details[at : at + len(inside) + 1]]
    assert [text.partition(" = ")[0] for text in formulas] == [*inside, "layer.1.output"]
    assert "layer.1.ffn_act = gelu_erf(layer.1.ffn_pre)" in formulas
    files = line(details, "look at").split(", ")
    assert {"bertref/ops/layer_norm.py", "bertref/ops/softmax.py", "bertref/ops/gelu_erf.py"} <= set(files)
    assert len(files) == len(set(files))


def test_a_long_bracket_has_all_its_steps_by_name() -> None:
    given = {"embeddings.norm", "layer.1.output"}
    found = report(wrong("layer.1.output", "wrong"), missing=tuple(set(names()) - given))
    text = line(words.details(found), "one of these")
    assert text.startswith("28 steps, in order: layer.N.query (all layers), layer.N.key (all layers), ")
    assert "layer.0.output, layer.1.output" not in text  # of one kind
    assert "layer.N.output (all layers)" in text


def test_a_branch_beside_the_way_is_not_in_the_bracket() -> None:
    """The pooler stands between the last layer and the word head, and has no part in it."""
    given = {"layer.1.output", "mlm.logits", "nsp.logits"}
    found = report(wrong("mlm.logits", "wrong"), missing=tuple(set(names()) - given))
    assert found.between == ("mlm.dense", "mlm.act", "mlm.transform")
    assert found.ask == ("mlm.transform",)
    assert words.advice(found).endswith("mlm.logits is made from it")


def test_nothing_right_before_it() -> None:
    found = report(wrong("embeddings.word"), missing=("embeddings.position",))
    assert found.last_right is None
    assert line(words.details(found), "last right") == "nothing that it is made from is known to be right"


def test_an_update_is_bracketed_by_gradients_and_what_these_are_made_of() -> None:
    updates = [name for name in names() if name.startswith("update:")]
    found = report(wrong(updates[0], "wrong"), missing=tuple(set(names()) - set(updates)))
    assert {"grad:bert.pooler.dense.bias", "grad:pooled", "embeddings.sum"} <= set(found.between)
    assert "bertref/optim/adam.py" in line(words.details(found), "look at")


def test_one_mistake_in_all_layers_and_on_the_way_back_is_one() -> None:
    same = (wrong("layer.1.ffn_act"), wrong("grad:layer.0.ffn_pre"), wrong("grad:layer.1.ffn_pre"))
    found = words.details(report(wrong("layer.0.ffn_act"), *same))
    assert line(found, "the same") == (
        "this kind of step is wrong at layer.1.ffn_act, grad:layer.N.ffn_pre (all layers), too"
    )
    assert "also wrong" not in dict(found)


def test_the_first_mistakes_have_a_line_each() -> None:
    some = ["embeddings.norm", "layer.0.query", "layer.0.probs", "layer.1.probs", "mlm.act", "nsp.logits",
            "update:bert.pooler.dense.bias", "grad:bert.pooler.dense.weight"]  # fmt: skip
    found = words.details(report(*map(wrong, some)))
    at = [label for label, _ in found].index("also wrong")
    lines = [text for _, text in found[at : at + 6]]
    assert [text.partition(", 1234")[0] for text in lines[:4]] == [
        "layer.0.query", "layer.N.probs (all layers)", "mlm.act", "nsp.logits"]  # fmt: skip
    assert lines[4] == "and 2 more kinds of steps: grad:bert.pooler.dense.weight, update:bert.pooler.dense.bias"
    assert lines[5].endswith("right")


def test_what_an_earlier_mistake_may_explain_is_not_counted_as_another() -> None:
    later = wrong("layer.1.output", "wrong", explained_by="layer.0.output")
    found = words.details(report(wrong("layer.0.output", "wrong"), later))
    assert "the same" not in dict(found)
    assert "also wrong" not in dict(found)
    expected = "1 may be wrong for the same reason as layer.0.output: a step between was not given; "
    assert line(found, "the others").startswith(expected)


def test_a_right_report_says_what_was_judged() -> None:
    every = dict(words.details(report()))
    assert every["alone"].startswith("judged by themselves: all 43 steps forward, all 89 steps backward, ")
    assert not {"in blocks", "not judged"} & set(every)
    hidden = [name for name in names() if name.startswith("update:") or name.endswith(".scores") or "nsp" in name]
    some = dict(words.details(report(missing=tuple(hidden))))
    assert some["in blocks"].startswith("judged only together with steps beside them: layer.N.scores (all layers)")
    assert "layer.N.probs (all layers)" in some["in blocks"]
    assert some["not judged"].endswith(" steps of the update")


def test_a_row_of_a_single_token_is_named() -> None:
    place = Place((1, 0, 2), 1.0, 2.0, single=True)
    assert words.where("layer.0.query", place).startswith("worst at row 1, position 0, channel 2 (a row of a single")


def test_a_bracket_behind_kernels_is_opened_by_switching_them_off() -> None:
    found = report(wrong("layer.0.ffn_act", "wrong"), missing=("layer.0.ffn_pre",), subject="numpy:kernels=on")
    assert words.advice(found, "x") == "verify with kernels=off, which shows layer.0.ffn_pre"


def test_a_bracket_backward_names_probes_and_not_parameters() -> None:
    missing = ("grad:layer.1.ffn_act", "grad:bert.encoder.layer.1.output.dense.weight")
    found = report(wrong("grad:layer.1.ffn_pre", "wrong"), missing=missing)
    assert found.between == ("grad:layer.1.ffn_act",)


@pytest.mark.parametrize("status", WRONG)
def test_every_status_can_be_the_first(status: str) -> None:
    found = report(wrong("layer.0.query", status, own=None, error=None))
    text = words.explain(found, "bertref verify torch")
    assert text.splitlines()[0].startswith("DIVERGES")
    assert f"layer.0.query: {words.WHY[status]}" in text
    assert words.advice(found, "bertref verify torch") in text
    assert "how wrong" not in text


def test_unsteady_and_shape_have_advice_of_their_own() -> None:
    assert "dropout" in words.advice(report(wrong("layer.0.query", "unsteady")), "x")
    assert "mapping" in words.advice(report(wrong("layer.0.query", "shape", place=None)), "x")


@pytest.mark.parametrize(
    ("name", "index", "text"),
    [
        ("layer.0.probs", (1, 2, 3, 4), "row 1, head 2, position 3, key 4"),
        ("mlm.logits", (1, 2, 3), "row 1, prediction 2, channel 3"),
        ("pooled", (1, 2), "row 1, channel 2"),
        ("loss.total", (), "the number"),
        ("grad:bert.embeddings.word_embeddings.weight", (7, 2), "word 7, channel 2"),
        ("grad:bert.pooler.dense.weight", (7, 2), "out 7, in 2"),
        ("update:bert.pooler.dense.bias", (7,), "channel 7"),
    ],
)
def test_axes_are_named(name: str, index: tuple[int, ...], text: str) -> None:
    assert words.where(name, Place(index, 1.0, 2.0)) == f"worst at {text}: 2, expected 1"


def test_long_lists_are_cut() -> None:
    assert words.listed(["a", "b", "c", "d"]) == "a, b, c, d"
    assert words.listed(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d and 2 more"


def test_what_was_given_is_not_in_the_bracket() -> None:
    missing = ("layer.1.scores", "layer.1.probs")
    found = report(wrong("layer.1.context", "wrong"), missing=missing)
    assert found.between == missing
    assert found.ask == ("layer.1.probs",)
