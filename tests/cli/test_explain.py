"""`bertref predict --explain`; the page and the picture that it writes."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import bertref as library
from bertref.cli.explanation_page import page
from bertref.cli.render_explanation import account, stretches
from bertref.inference.explain import Explanation, WordValue
from tests.cli_helpers import bertref, beside_the_load, in_process
from tests.inference.saved import labels, make

TEXT = 'It <script>alert("rain")</script> & \'New  York\' rained!'
MASKED = "he [MASK] to [MASK] york ."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explain")
    make(path / "texts", "BertForSequenceClassification", **labels("bad<b>", "good"))
    make(path / "masks", "BertForMaskedLM")
    make(path / "tags", "BertForTokenClassification", **labels("O", "B-X"))
    return path


def explained(folder: Path, *arguments: str) -> Any:
    return in_process("predict", "--model", folder, "--dtype", "float64", *arguments)


class Page(HTMLParser):
    """A page taken apart: the cells of its tables by row, its text, its words with their numbers, and what it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.ruby: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text, self.style = "", ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "ruby":
            self.ruby.append(("", ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.style += data
            return
        if {"td", "th"} & {*self._open}:
            self.rows[-1][-1] += data
        if "ruby" in self._open:
            word, value = self.ruby[-1]
            self.ruby[-1] = (word, value + data) if "rt" in self._open else (word + data, value)
        if "rt" not in self._open:
            self.text += data


def check_page(text: str, found: Explanation) -> None:
    """Every word with its value, the sum, the account; nothing from elsewhere, and nothing that runs."""
    seen = Page(text)
    assert not re.search(r"<(?![a-zA-Z/!])|&(?!#?\w+;)", text), "not escaped"
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {*seen.tags}
    assert {name for name, _ in seen.attributes} <= {"lang", "charset", "name", "content", "class", "style"}
    for part in (seen.style, *(value or "" for _, value in seen.attributes)):
        assert not re.search(r"https?:|//|url\(|@import|javascript", part)
    *words, total = seen.rows
    assert [row[0] for row in words] == [word.text for word in found.words]
    assert [float(row[1]) for row in words] == pytest.approx([word.value for word in found.words], rel=1e-5)
    assert total[0] == "sum"
    assert float(total[1]) == pytest.approx(found.sum, rel=1e-5)
    assert seen.ruby == [(word.text, f"{word.value:+.2f}") for word in found.words]
    assert all(line in seen.text for line in (found.text, found.pair or "", *account(found)))


@pytest.mark.parametrize("pair", [None, "who?"])
def test_the_page_holds_every_word_and_value(models: Path, tmp_path: Path, pair: str | None) -> None:
    (tmp_path / "why.html").write_text("old")
    arguments = [] if pair is None else ["--pair", pair]
    done = explained(models / "texts", TEXT, *arguments, "--explain", "--html", str(tmp_path / "why.html"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "why.html").read_text(encoding="utf-8")
    check_page(text, library.load(models / "texts", dtype="float64").explain(TEXT, pair))
    assert [path.name for path in tmp_path.iterdir()] == ["why.html"]  # nothing temporary is left


def explanation(text: str, *words: WordValue) -> Explanation:
    total = sum(word.value for word in words)
    return Explanation(text, None, "integrated", "logit(<b>)", "<b>", None, None, words, 1.0, "[PAD]", total, total, 64)


def test_a_wrong_page_is_seen() -> None:
    found = explanation("a <b>", WordValue("a", 0, 1, 0.5), WordValue("<", 2, 3, -0.25))
    text = page([found])
    check_page(text, found)
    for old, new in (
        (">&lt;<", "><<"), ("&lt;b&gt;:", "<b>:"), ("+0.5<", "+0.6<"), ("+0.25<", "+0.24<"),
        ("<body>", "<body><script></script>"), ("<style>", "<style>@import url(x);"), ("-0.25", "0.25"),
        ("64 nodes", "nodes"),
    ):  # fmt: skip
        assert old in text
        with pytest.raises(AssertionError):
            check_page(text.replace(old, new), found)


def test_a_page_can_hold_any_text() -> None:
    found = explanation("\x00a\x1b \ud800b", WordValue("a", 1, 2, 0.0), WordValue("\ud800b", 4, 6, 0.0))
    text = page([found]).encode("utf-8", "replace").decode("utf-8")
    assert Page(text).ruby == [("a", "+0.00"), ("?b", "+0.00")]
    assert not re.search("[\x00-\x08\x0b-\x1f]", text)


def test_json_is_what_python_gives(models: Path) -> None:
    done = explained(models / "texts", TEXT, "who", "--explain", "gradient", "--label", "good", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    model = library.load(models / "texts", dtype="float64")
    for line, text in zip(lines, (TEXT, "who"), strict=True):
        want = model.explain(text, method="gradient", label="good")
        ((found),) = line["explanations"]
        assert [word["text"] for word in found["words"]] == [word.text for word in want.words]
        assert [word["value"] for word in found["words"]] == pytest.approx([word.value for word in want.words])
        assert found["gap"] == pytest.approx(want.gap)
        assert (found["target"], found["complete"], found["nodes"]) == ("logit(good) - logit(bad<b>)", False, 1)
        assert line["labels"]


def test_the_terminal_shows_signs_sum_and_gap(models: Path) -> None:
    done = explained(models / "texts", TEXT, "--explain")
    assert done.returncode == 0, done.stderr
    assert beside_the_load(done.stderr) == ""
    found = library.load(models / "texts", dtype="float64").explain(TEXT)
    values = [float(value) for value in re.findall(r"^  ([+-]\d\.\d{4})  ", done.stdout, re.MULTILINE)]
    assert sum(values) == pytest.approx(found.sum, abs=2e-3)  # of rounded numbers
    assert values[:3] == [round(word.value, 4) for word in sorted(found.words, key=lambda w: -abs(w.value))[:3]]
    assert f"integrated gradients from [PAD], 64 nodes: sum {found.sum:+.4f}, difference" in done.stdout
    assert "\x1b" not in done.stdout
    colours = {"FORCE_COLOR": "1", "COLORTERM": "truecolor"}
    coloured = bertref("predict", "--model", models / "texts", TEXT, "--explain", **colours)
    assert "\x1b[30;48;2;" in coloured.stdout
    plain = re.sub(r"\x1b\[[\d;]*m", "", coloured.stdout)
    assert f"  {TEXT}\n" in plain


def test_every_mask_is_explained(models: Path, tmp_path: Path) -> None:
    done = explained(models / "masks", MASKED, "--explain", "gradient", "--plot", str(tmp_path / "why.svg"))
    assert done.returncode == 0, done.stderr
    model = library.load(models / "masks", dtype="float64")
    for mask in (0, 1):
        found = model.explain(MASKED, method="gradient", mask=mask)
        assert f"why {found.label}, not {found.other} at token {found.position}: {found.target}" in done.stdout
    assert done.stdout.count("gradient x input is not complete") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["why.svg"]
    assert (tmp_path / "why.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_attention_maps(models: Path, tmp_path: Path) -> None:
    files = ["--html", str(tmp_path / "map.html"), "--plot", str(tmp_path / "map.png")]
    done = explained(models / "tags", "$it$ rained", "--attention", "0:1", *files)
    assert done.returncode == 0, done.stderr
    assert "attention is not attribution" in done.stdout
    found = library.load(models / "tags", dtype="float64").attention("$it$ rained", layer=0, head=1)
    seen = Page((tmp_path / "map.html").read_text(encoding="utf-8"))
    assert seen.rows[0] == ["", *found.tokens]
    assert [row[0] for row in seen.rows[1:]] == list(found.tokens)
    assert [[float(cell) for cell in row[1:]] for row in seen.rows[1:]] == [
        pytest.approx(list(row), abs=0.005) for row in found.weights
    ]
    assert "attention is not attribution" in seen.text
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    last = explained(models / "tags", "it", "--explain", "attention", "--json")
    (line,) = (json.loads(line) for line in last.stdout.splitlines())
    assert (line["explanations"][0]["layer"], line["explanations"][0]["head"]) == (1, None)


def test_lines_of_a_file_that_can_not_be_explained_are_named(models: Path, tmp_path: Path) -> None:
    long = "it " * 60
    page_of = tmp_path / "why.html"
    done = in_process("predict", "--model", models / "texts", "--file", "-", "--explain", "--json", "--html", page_of,
                   stdin=f"it\n\u200b\n{long}\nrained\n")  # fmt: skip
    assert done.returncode == 1
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["it", "rained"]
    assert "standard input, line 2 can't be explained: it has no words" in done.stderr
    assert "standard input, line 3 has 62 tokens; this model reads at most 48" in done.stderr
    assert [word for word, _ in Page(page_of.read_text(encoding="utf-8")).ruby] == ["it", "rained"]
    cut = explained(models / "texts", long, "--explain", "--truncate", "tail")
    assert cut.returncode == 0, cut.stderr


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("texts", ["--explain", "magic"], "'magic' is not one of integrated, gradient, attention"),
        ("texts", ["--explain", "gradient", "--attention", "0"], "--attention goes with --explain attention, not with"),
        ("texts", ["--attention", "x:1"], "--attention 'x:1': give LAYER or LAYER:HEAD as numbers"),
        ("texts", ["--attention", "2"], "layer 2: this model has layers 0 to 1"),
        ("texts", ["--attention", "0:7"], "head 7: this model has heads 0 to 2"),
        ("texts", ["--html", "a.html"], "--html goes with --explain"),
        ("texts", ["--attention", "0", "--label", "good"], "--label goes with --explain"),
        ("texts", ["--explain", "--label", "odd"], "this model has no label 'odd'; it has bad<b>, good"),
        ("texts", ["--explain", "--html", "nowhere/a.html"], "nowhere/a.html: its folder does not exist"),
        ("texts", ["--explain", "--html", "."], ".: is a folder; name the file"),
        ("texts", ["--explain", "--plot", "a.xyz"], "a.xyz: pictures end in"),
        ("texts", ["", "--explain"], "text 2 can't be explained: it has no words"),
        ("tags", ["--explain"], "--explain integrated goes with sequence-classification, fill-mask, not with token"),
        ("masks", ["--explain", "--label", "it"], "--label goes with sequence-classification, not with fill-mask"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_said(
    models: Path, model: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = in_process("predict", "a [MASK]", *arguments, "--model", models / model, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_text_in_parts_is_the_text(models: Path) -> None:
    found = library.load(models / "texts").explain(TEXT, "who?")
    for segment, text in enumerate((TEXT, "who?")):
        assert "".join(part.text for part in stretches(found, segment)) == text
