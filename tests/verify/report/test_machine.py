"""JSON, JUnit and HTML, read by parsers of others."""

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from bertref.verify.records import Report
from bertref.verify.report.to_html import to_html
from bertref.verify.report.to_json import to_dict, to_json
from bertref.verify.report.to_junit import error_to_junit, to_junit
from tests.verify.report.reports import blind, cause, described, hostile, named, names, report, wrong

NUMBER = (int, float, str, type(None))
TEXT = (str, type(None))
KEYS = {
    "schema": int, "version": str, "subject": str, "precision": str, "verdict": str, "exit_code": int, "first": TEXT,
    "last_right": TEXT, "between": list, "ask": list, "judged": dict, "limit": float, "case": dict,
    "replay": TEXT, "advice": TEXT,
    "should_be": TEXT, "files": list, "counts": dict, "seconds": dict, "notes": list, "findings": list,
    "diagnosis": TEXT, "diagnosis_note": TEXT, "unexplained": list, "causes": list,
    "looks": list, "ruled_out": list,
    "fed": list, "blind_spots": (dict, type(None)),
}  # fmt: skip
FINDING = {"name": str, "status": str, "total": NUMBER, "own": NUMBER, "error": NUMBER, "noise": NUMBER,
           "place": (dict, type(None)), "note": str, "explained_by": str}  # fmt: skip
CAUSE = {"id": str, "sentence": str, "parameters": list, "choice": str, "tensors": list, "ratio": dict, "where": dict,
         "patch": str, "alternatives": list, "ruled_out": list}  # fmt: skip
PARAMETER = {"name": str, "value": float, "low": float, "high": float, "known": str}
LOOK = {"tensor": str, "kind": str, "sentence": str}
SPOT = {"id": str, "sentence": str, "tensors": list, "ratio": float, "hidden_by": str, "ask": list, "reasons": list}
PLACE = {"index": list, "expected": NUMBER, "found": NUMBER, "concentrated": list, "single": bool}
CASE = {"name", "origin", "config", "numerics", "rows", "length", "optimizer"}

ALL = {"right": report(), "wrong": report(wrong("layer.0.probs"), wrong("loss.total", "inherited")),
       "partial": report(wrong("layer.1.output", "wrong"), missing=names()[6:30]), "hostile": hostile(),
       "nothing": report(missing=names(), verdict="could not run"), "named": named(cause()),
       "ambiguous": named(cause(), cause(id="norm.rms", parameters=()), outcome="ambiguous"),
       "unknown": described(), "blind spots": blind()}  # fmt: skip


def every(name: str) -> Report:
    return ALL[name]


def refuse(literal: str) -> float:
    raise AssertionError(f"{literal} is no JSON")


def checked(found: dict[str, object], keys: dict[str, object]) -> None:
    assert found.keys() == keys.keys()
    for key, kind in keys.items():
        assert isinstance(found[key], kind), key  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ALL)
def test_json_has_the_keys_of_the_schema_and_no_others(name: str) -> None:
    line = to_json(every(name), "bertref verify torch")
    assert "\n" not in line
    found = json.loads(line, parse_constant=refuse)
    checked(found, KEYS)
    assert found["schema"] == 1
    assert found["case"].keys() == CASE
    assert [finding["name"] for finding in found["findings"]] == list(names())
    for finding in found["findings"]:
        checked(finding, FINDING)
        if finding["place"]:
            checked(finding["place"], PLACE)
    for one in found["causes"]:
        checked(one, CAUSE)
        assert one["ratio"] == {"before": 3425.0, "after": 1.1}
        for parameter in one["parameters"]:
            checked(parameter, PARAMETER)
    for one in found["looks"]:
        checked(one, LOOK)
    assert len(found["looks"]) == (name == "unknown")
    assert found["ruled_out"] == ["norm.unbiased"] * (name in ("named", "ambiguous", "unknown"))
    for spot in (found["blind_spots"] or {"spots": ()})["spots"]:
        checked(spot, SPOT)
    assert (found["blind_spots"] is not None) is (name == "blind spots")
    assert len(found["causes"]) == {"named": 1, "ambiguous": 2}.get(name, 0)
    assert found["diagnosis"] == (name if name in ("named", "ambiguous", "unknown") else None)
    assert sum(found["counts"].values()) == len(names())


def test_json_says_what_python_says() -> None:
    found = to_dict(every("wrong"), "bertref verify torch --seed 0")
    assert (found["verdict"], found["exit_code"], found["first"]) == ("diverges", 1, "layer.0.probs")
    assert (found["last_right"], found["replay"]) == ("layer.0.scores", "bertref verify torch --seed 0")
    assert found["files"] == ["bertref/ops/softmax.py", "bertref/ops/attention.py"]
    assert found["should_be"] == "softmax over the keys of layer.0.scores + mask"


def test_numbers_that_json_lacks_are_strings() -> None:
    [bad] = [f for f in to_dict(hostile())["findings"] if f["name"] == "layer.0.query"]
    assert (bad["total"], bad["error"], bad["noise"]) == ("Infinity", "NaN", None)
    assert (bad["place"]["expected"], bad["place"]["found"]) == ("Infinity", "NaN")
    assert float(bad["total"]) == float("inf")


@pytest.mark.parametrize("name", ALL)
def test_junit_counts_what_it_holds(name: str) -> None:
    root = ET.fromstring(to_junit([every(name), report()], ["bertref verify torch", None]))
    assert root.tag == "testsuites"
    assert len(root) == 2
    for suite in root:
        tests = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(tests)
        assert len({test.attrib["name"] for test in tests}) == len(tests)
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[key]) == len(suite.findall(f"testcase/{tag}"))
    assert not root[1].findall("testcase/failure")


def test_junit_has_the_finding() -> None:
    suite = ET.fromstring(to_junit([every("wrong")], ["bertref verify torch --seed 0"]))[0]
    failed = {test.attrib["name"]: test.find("failure") for test in suite.findall("testcase")
              if test.find("failure") is not None}  # fmt: skip
    assert failed.keys() == {"forward, layer 0", "forward, heads"}
    text = failed["forward, layer 0"].text
    assert "first wrong tensor layer.0.probs" in text
    assert "bertref verify torch --seed 0 --shrink" in text
    assert failed["forward, layer 0"].attrib["type"] == "added"
    assert "loss.total [~4321]" in failed["forward, heads"].text
    assert "first wrong tensor" not in failed["forward, heads"].text
    properties = {p.attrib["name"]: p.attrib["value"] for p in suite.iter("property")}
    assert properties["replay"] == "bertref verify torch --seed 0"


def test_junit_of_what_could_not_run() -> None:
    suite = ET.fromstring(to_junit([every("nothing")]))[0]
    assert suite.attrib["errors"] == "1"
    root = ET.fromstring(error_to_junit("cmd:<x>\x00", "it failed:\n & why \x1b"))
    assert root[0][0].find("error").attrib["message"] == "it failed:"


class Page(HTMLParser):
    """What a page consists of; raises where tags don't match."""

    EMPTY = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("name", ALL)
def test_the_page_is_whole_and_needs_nothing_else(name: str) -> None:
    page = Page(to_html([every(name)], ["bertref verify torch"]))
    names_of_tags = {tag for tag, _ in page.tags}
    assert not names_of_tags & {"script", "link", "img", "iframe", "object", "base", "form"}
    for _, attributes in page.tags:
        assert not {"src", "href", "onclick", "onload", "style"} & attributes.keys()
    style = to_html([every(name)]).partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_the_page_shows_the_map_the_depth_and_the_worst_elements() -> None:
    found = every("wrong")
    page = Page(to_html([found], ["bertref verify torch --seed 0"]))
    cells = [a for tag, a in page.tags if tag == "td" and "cell" in (a.get("class") or "")]
    assert len(cells) == len(names())
    assert [a["title"] for a in cells if "first" in str(a["class"]).split()] == ["layer.0.probs: added"]
    assert sum("inherited" in str(a["class"]) for a in cells) == 1
    points = [a for tag, a in page.tags if tag == "circle"]
    assert sum(a["class"] == "bad" for a in points) == 2
    text = " ".join(page.words)
    for part in ("DIVERGES", "softmax over the keys of layer.0.scores", "worst at row 0", "case.config.hidden_size",
                 "bertref verify torch --seed 0", "case.origin.seed"):  # fmt: skip
        assert part in text, part


def test_the_page_of_several_cases_shows_the_first_that_is_wrong() -> None:
    text = to_html([report(), every("wrong"), report()])
    assert "2 of 3 cases right" in text
    assert text.count("DIVERGES") == 2  # the title and the heading
    with pytest.raises(ValueError, match="report"):
        to_html([])


def test_text_is_escaped() -> None:
    text = to_html([hostile()], ["bertref verify '<i>'"])
    Page(text)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>" not in text
    assert "<i>" not in text
    assert not set("\x00\x1b\x07\ud800") & set(text)
    text.encode("utf-8")


def test_the_page_says_what_is_known_of_an_unknown_cause() -> None:
    text = " ".join(Page(to_html([every("unknown")])).words)
    assert "Why: unknown" in text
    assert "norm.unbiased" in text
    assert "embeddings.norm is 0.5 times what it should be" in text
    assert "Why: unknown" not in to_html([every("named")])
