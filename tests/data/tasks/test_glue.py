"""GLUE's and XNLI's files: their layouts written here, the published ones where they are at hand; submissions."""

import tarfile
from pathlib import Path
from typing import Any

import pytest

from bertref.data.tasks.examples import TextExample
from bertref.data.tasks.glue import TASKS, glue_part, glue_parts
from bertref.data.tasks.glue_submission import submission_name, write_submission
from bertref.data.tasks.xnli import xnli_part, xnli_parts
from bertref.errors import InputError

from .files import lines, read, write

MNLI = "index promptID pairID genre p1 p2 s1 s2 sentence1 sentence2".split()
MNLI_ROW = ["0", "1", "2", "fiction", "(", "(", "(", "(", "A dog.", '"An animal.']
MSR = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
QQP = "id qid1 qid2 question1 question2 is_duplicate".split()
XNLI = "language gold_label p1 p2 s1 s2 sentence1 sentence2 promptID".split()

COUNTS = {
    "cola": {"train": 8551, "dev": 1043, "test": 1063},
    "sst-2": {"train": 67349, "dev": 872, "test": 1821},
    "mrpc": {"train": 3668, "dev": 408, "test": 1725},
    "sts-b": {"train": 5749, "dev": 1500, "test": 1379},
    "qnli": {"dev": 5463, "test": 5463},
    "rte": {"train": 2490, "dev": 277, "test": 3000},
    "wnli": {"train": 635, "dev": 71, "test": 146},
    "ax": {"test": 1104},
}


def only(task: str, name: str, path: Path) -> TextExample:
    (found,) = read(glue_part(task, name, path))
    assert isinstance(found, TextExample)
    return found


def test_cola_has_a_header_in_its_test_only(tmp_path: Path) -> None:
    write(tmp_path / "CoLA" / "train.tsv", lines(["gj04", "0", "*", 'They "left.']))
    write(tmp_path / "CoLA" / "test.tsv", lines(["index", "sentence"], ["0", "They left."]))
    parts = glue_parts("cola", tmp_path)
    assert read(parts["train"]) == [TextExample("train.tsv, line 1", 'They "left.', label="0")]
    assert read(parts["test"]) == [TextExample("test.tsv, line 2", "They left.")]
    assert list(glue_parts("cola", tmp_path / "CoLA")) == ["train", "test"]


@pytest.mark.parametrize(
    ("task", "header", "row", "text", "pair", "label"),
    [
        ("sst-2", ["sentence", "label"], ["fine ", "1"], "fine ", None, "1"),
        ("mrpc", MSR, ["0", "1", "2", "a", "b"], "a", "b", "0"),
        ("sts-b", ["index", "sentence1", "sentence2", "score"], ["0", "a", "b", "3.800"], "a", "b", 3.8),
        ("qqp", QQP, ["0", "1", "2", "a?", "b?", "1"], "a?", "b?", "1"),
        ("qnli", ["index", "question", "sentence", "label"], ["0", "a", "b", "not_entailment"], "a", "b",
         "not_entailment"),
        ("rte", ["index", "sentence1", "sentence2", "label"], ["0", "a", "b", "entailment"], "a", "b", "entailment"),
        ("wnli", ["index", "sentence1", "sentence2", "label"], ["0", "a", "b", "1"], "a", "b", "1"),
        ("mnli", [*MNLI, "label1", "gold_label"], [*MNLI_ROW, "neutral", "entailment"], "A dog.", '"An animal.',
         "entailment"),
    ],
)  # fmt: skip
def test_layouts(
    tmp_path: Path, task: str, header: list[str], row: list[str], text: str, pair: str, label: Any
) -> None:
    path = write(tmp_path / "train.tsv", "\ufeff" + lines(header, row))
    assert only(task, "train", path) == TextExample("train.tsv, line 2", text, pair, label)
    keep = [i for i, name in enumerate(header) if name not in TASKS[task].label]
    path = write(tmp_path / "test.tsv", lines([header[i] for i in keep], [row[i] for i in keep]))
    assert only(task, "test", path) == TextExample("test.tsv, line 2", text, pair)


def test_mnli_has_two_sets_of_each(tmp_path: Path) -> None:
    for name in ("dev_matched.tsv", "dev_mismatched.tsv.gz", "test_matched.tsv", "test_mismatched.tsv"):
        write(tmp_path / "MNLI" / name, lines([*MNLI, "gold_label"], [*MNLI_ROW, "neutral"]))
    parts = glue_parts("mnli", tmp_path)
    assert {name: part.files[0].name for name, part in parts.items()} == {
        "dev": "dev_matched.tsv",
        "dev-mismatched": "dev_mismatched.tsv.gz",
        "test": "test_matched.tsv",
        "test-mismatched": "test_mismatched.tsv",
    }


def test_pairs_without_a_gold_label_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "dev_matched.tsv", lines([*MNLI, "gold_label"], [*MNLI_ROW, "-"], [*MNLI_ROW, "neutral"]))
    said: list[str] = []
    assert len(read(glue_part("mnli", "dev", path, said.append))) == 1
    assert said == [f"{path}: left out 1 lines without a gold label ('-')"]


def test_qqps_broken_lines_are_counted_but_not_in_its_test(tmp_path: Path) -> None:
    rows = [
        QQP,
        ["0", "1", "2", "a?", "b?", "1"],
        ["3", "4"],
        ["5", "6", "7", "a?", "", "0"],
        ["8", "1", "2", "c?", "d?", "0"],
    ]
    path = write(tmp_path / "train.tsv", lines(*rows))
    said: list[str] = []
    assert [e.place for e in read(glue_part("qqp", "train", path, said.append))] == [
        "train.tsv, line 2",
        "train.tsv, line 5",
    ]
    assert said == [f"{path}: left out 2 lines without all their columns, the first is line 3"]
    with pytest.raises(InputError, match="line 3: the number of columns is 2, not 6"):
        read(glue_part("qqp", "test", path))


def test_microsofts_files(tmp_path: Path) -> None:
    write(tmp_path / "msr_paraphrase_train.txt", lines(MSR, ["1", "1", "2", "a", "b"], ["0", "3", "4", "c", "d"]))
    write(tmp_path / "msr_paraphrase_test.txt", lines(MSR, ["1", "5", "6", "e", "f"]))
    assert {name: len(read(part)) for name, part in glue_parts("mrpc", tmp_path).items()} == {"train": 2, "test": 1}
    write(tmp_path / "dev_ids.tsv", lines(["3", "4"]))
    parts = glue_parts("mrpc", tmp_path)
    assert {name: [e.text for e in read(part)] for name, part in parts.items()} == {
        "train": ["a"], "dev": ["c"], "test": ["e"],
    }  # fmt: skip
    assert read(parts["test"])[0].label == "1"
    assert [path.name for path in parts["dev"].files] == ["msr_paraphrase_train.txt", "dev_ids.tsv"]


def test_the_diagnostics_with_their_labels(tmp_path: Path) -> None:
    header = ["Lexical Semantics", "Domain", "Premise", "Hypothesis", "Label"]
    write(tmp_path / "diagnostic" / "diagnostic-full.tsv", lines(header, ["", "News", "a", "b", "neutral"]))
    assert read(glue_parts("ax", tmp_path)["test"]) == [TextExample("diagnostic-full.tsv, line 2", "a", "b", "neutral")]


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("cola", lines(["gj04", "1", "a"]), "line 1: the number of columns is 3, not 4"),
        ("cola", lines(["gj04", "2", "", "a"]), "line 1: 'label' is '2'; CoLA's labels are 0, 1"),
        ("cola", lines(["gj04", "-", "", "a"]), "line 1: 'label' is '-'"),
        ("cola", lines(["gj04", "1", "", " "]), "line 1: the text in 'sentence' is empty"),
        ("sst-2", lines(["sentence", "label"], ["a", "1", "0"]), "line 2: the number of columns is 3, not 2"),
        ("sst-2", "sentence,label\na,1\n", "line 1: one column was found between tabs"),
        ("rte", lines(["sentence", "label"], ["a", "entailment"]), "line 2: no column 'sentence1'; there are"),
        ("rte", lines(["sentence1", "sentence2"], ["a", "b"]), "line 2: no column 'label'"),
        ("sts-b", lines(["sentence1", "sentence2", "score"], ["a", "b", "nan"]), "line 2: 'score' is 'nan'"),
        ("sts-b", lines(["sentence1", "sentence2", "score"], ["a", "b", "5.1"]), "line 2: 'score' is 5.1; STS-B's"),
    ],
)
def test_bad_files(tmp_path: Path, task: str, content: str, message: str) -> None:
    path = write(tmp_path / "train.tsv", content)
    with pytest.raises(InputError) as caught:
        read(glue_part(task, "train", path))
    assert str(caught.value).startswith(f"{path}")
    assert message in str(caught.value)


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the files that are looked for is in it: train\.tsv, dev\.tsv, test"):
        glue_parts("rte", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        glue_parts("rte", tmp_path / "none")


def test_the_published_files(data_dir: Path, tmp_path: Path) -> None:
    with tarfile.open(data_dir / "data" / "glue.tar.gz") as archive:
        wanted = [m for m in archive.getmembers() if m.isfile() and m.name.endswith((".tsv", "train.txt", "test.txt"))]
        archive.extractall(tmp_path, wanted, filter="data")
    for task, counts in COUNTS.items():
        parts = glue_parts(task, tmp_path / "glue")
        assert {name: sum(1 for _ in part.read()) for name, part in parts.items()} == counts
    mrpc = tmp_path / "glue" / "MRPC"
    published = [e.text for e in glue_part("mrpc", "train", mrpc / "train.tsv").read()]
    assert [e.text for e in glue_part("mrpc", "train", mrpc / "msr_paraphrase_train.txt").read()] == published
    assert sum(e.label == "1" for e in glue_part("mrpc", "test", mrpc / "msr_paraphrase_test.txt").read()) == 1147


def test_xnli(tmp_path: Path) -> None:
    write(tmp_path / "XNLI-MT-1.0" / "multinli" / "multinli.train.de.tsv",
          lines(["premise", "hypo", "label"], ["Ein Hund.", "Kein Hund.", "contradictory"]))  # fmt: skip
    german = ["de", "neutral", "(", "(", "(", "(", "Eins", 'Zwei"', "1"]
    path = write(tmp_path / "XNLI-1.0" / "xnli.dev.tsv", lines(XNLI, ["ar", *german[1:]], german))
    parts = xnli_parts(tmp_path, "de")
    assert read(parts["train"]) == [
        TextExample("multinli.train.de.tsv, line 2", "Ein Hund.", "Kein Hund.", "contradiction")
    ]
    assert read(parts["dev"]) == [TextExample("xnli.dev.tsv, line 3", "Eins", 'Zwei"', "neutral")]
    with pytest.raises(InputError, match="nothing in the language 'sw'; there are ar, de"):
        read(xnli_part("dev", path, "sw"))
    path = write(tmp_path / "x.tsv", lines(["premise", "hypo", "label"], ["a", "b", "maybe"]))
    with pytest.raises(InputError, match="line 2: 'label' is 'maybe'"):
        read(xnli_part("train", path))
    path = write(tmp_path / "x.tsv", lines(["language", "sentence1"], ["de", "b"]))
    with pytest.raises(InputError, match="line 2: no column 'sentence2'"):
        read(xnli_part("dev", path, "de"))


@pytest.mark.parametrize(
    ("task", "part", "name"),
    [("cola", "test", "CoLA"), ("mnli", "test", "MNLI-m"), ("mnli", "test-mismatched", "MNLI-mm"), ("ax", "test", "AX"),
     ("sst-2", "test", "SST-2"), ("sts-b", "test", "STS-B")],
)  # fmt: skip
def test_names_of_submissions(task: str, part: str, name: str) -> None:
    assert submission_name(task, part) == f"{name}.tsv"


def test_submissions(tmp_path: Path) -> None:
    path = write_submission(tmp_path, "qnli", ["entailment", "not_entailment"])
    assert path.read_bytes() == b"index\tprediction\n0\tentailment\n1\tnot_entailment\n"
    path = write_submission(tmp_path, "sts-b", [5.2, -0.1, 2.34567])
    assert path.read_text() == "index\tprediction\n0\t5.000\n1\t0.000\n2\t2.346\n"
    with pytest.raises(InputError, match="answer 1 is 'entailment'; the task's labels are 0, 1"):
        write_submission(tmp_path, "cola", ["0", "entailment"])
    with pytest.raises(InputError, match="answer 0 is nan"):
        write_submission(tmp_path, "sts-b", [float("nan")])
