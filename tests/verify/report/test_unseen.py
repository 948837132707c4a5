"""What could not have been seen: one line a mistake, what hides it and what would show it."""

from dataclasses import replace

from bertref.verify.records import BlindSpots
from bertref.verify.report.to_html import to_html
from bertref.verify.report.unseen import unseen
from bertref.verify.report.words import details
from tests.verify.report.reports import blind, report, wrong


def test_nobody_asked() -> None:
    assert unseen(report()) == []
    assert not {label for label, _ in details(report())} & {"not seen", "below", "the step"}


def test_lines() -> None:
    found = unseen(blind())
    assert [label for label, _ in found] == ["not seen", "", "", "below", "the step"]
    activation, variance, mask, below, step = (text for _, text in found)
    assert activation == (
        "the activation is <GELU>'s tanh form: less than 0.1 times what rounding explains; give layer.N.ffn_pre (all "
        "layers), or --feed it if it can do single steps"
    )
    assert "at most 6.5 times what rounding explains; give embeddings.sum, or" in variance
    assert mask == (
        "padding is attended to: makes no difference in this case, which has no padding and a single head"
    )
    assert below == "what changes less than float32 rounds could not show either: norm.epsilon"
    assert step == "a mistake would show in: clipping, rate; some would not show in: moments"
    assert all(line in details(blind()) for line in found)


def test_nothing_is_hidden() -> None:
    found = unseen(replace(blind(), blind_spots=BlindSpots((), {"rate": True})))
    assert found == [
        ("not seen", "nothing that is known, of the steps that were judged"),
        ("the step", "a mistake would show in: rate"),
    ]  # fmt: skip


def test_the_page_lists_all() -> None:
    page = to_html([blind()])
    assert "<h2>What could not have been seen</h2>" in page
    assert "&lt;GELU&gt;&#x27;s tanh form" in page
    assert page.count("<td>norm.epsilon</td>") == 2
    assert "at most 2.5 times what rounding explains, and too little by itself, too, in float32" in page
    assert "could not have been seen" not in to_html([report(wrong("layer.0.probs"))])
