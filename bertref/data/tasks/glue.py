"""GLUE's tasks in the files that are published: tab-separated, without quoting, each task with columns of its own.

    task      text, second text            label          header   parts
    CoLA      sentence                     0, 1           test's   4 columns without it: source, label, mark, sentence
    SST-2     sentence                     0, 1           yes
    MRPC      #1 String, #2 String         0, 1           yes      or Microsoft's own msr_paraphrase_*.txt
    STS-B     sentence1, sentence2         0 to 5         yes
    QQP       question1, question2         0, 1           yes      train and dev have some broken lines
    MNLI      sentence1, sentence2         three words    yes      dev and test, each matched and mismatched
    QNLI      question, sentence           two words      yes
    RTE       sentence1, sentence2         two words      yes
    WNLI      sentence1, sentence2         0, 1           yes
    AX        sentence1, sentence2         MNLI's         yes      diagnostic.tsv, or -full.tsv with labels

(Wang et al. 2018, arXiv:1804.07461; https://gluebenchmark.com.) The numbers of the labels are those of the data sets
at Hugging Face: MNLI 0 entailment, 1 neutral, 2 contradiction.

Of Microsoft's file, the pairs that `dev_ids.tsv` names are the part "dev", as GLUE's download script has it. Pairs with
the gold label "-" (MNLI's annotators did not agree) and QQP's broken lines are left out and counted.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ..pretraining.text_files import read_lines
from .examples import Kind, Part, TextExample
from .notes import Notes, once
from .published import find_part_files
from .tables import TableFormat, TableRow, no_column, read_rows
from .text_tables import checked_text, finite

NO_AGREEMENT = "-"
"""Instead of one of MNLI's labels."""
INFERENCE = ("entailment", "neutral", "contradiction")
_BINARY = ("0", "1")
_TWO = ("entailment", "not_entailment")
_FILES = {
    "train": ("train.tsv",),
    "dev": ("dev.tsv",),
    "test": ("test.tsv",),
}
_PAIR = (("sentence1",), ("sentence2",))
_Keep = Callable[[TableRow], bool]


@dataclass(frozen=True)
class GlueTask:
    """How a task's files are read. `text`, `pair`, `label`: names of their columns, the first that a file has counts.

    `folder`: its name in GLUE. `names`: the columns of a file that has no header. `broken`: the published files have
    lines with a wrong number of columns. `files`: part -> names of its file.
    """

    folder: str
    labels: tuple[str, ...] | None
    text: tuple[str, ...]
    pair: tuple[str, ...] = ()
    label: tuple[str, ...] = ("label",)
    names: tuple[str, ...] = ()
    broken: bool = False
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _FILES)

    @property
    def kind(self) -> Kind:
        return "classification" if self.labels else "regression"


TASKS = {
    "cola": GlueTask("CoLA", _BINARY, ("sentence",), names=("source", "label", "mark", "sentence")),
    "sst-2": GlueTask("SST-2", _BINARY, ("sentence",)),
    "mrpc": GlueTask("MRPC", _BINARY, ("#1 String",), ("#2 String",), ("Quality",), files={
        "train": ("train.tsv", "msr_paraphrase_train.txt"), "dev": ("dev.tsv", "dev_ids.tsv"),
        "test": ("test.tsv", "msr_paraphrase_test.txt"),
    }),
    "sts-b": GlueTask("STS-B", None, *_PAIR, ("score",)),
    "qqp": GlueTask("QQP", _BINARY, ("question1",), ("question2",), ("is_duplicate",), broken=True),
    "mnli": GlueTask("MNLI", INFERENCE, *_PAIR, ("gold_label",), files={
        "train": ("train.tsv",), "dev": ("dev_matched.tsv",), "dev-mismatched": ("dev_mismatched.tsv",),
        "test": ("test_matched.tsv",), "test-mismatched": ("test_mismatched.tsv",),
    }),
    "qnli": GlueTask("QNLI", _TWO, ("question",), ("sentence",)),
    "rte": GlueTask("RTE", _TWO, *_PAIR),
    "wnli": GlueTask("WNLI", _BINARY, *_PAIR),
    "ax": GlueTask("diagnostic", INFERENCE, ("sentence1", "Premise"), ("sentence2", "Hypothesis"), ("Label",), files={
        "test": ("diagnostic-full.tsv", "diagnostic.tsv", "AX.tsv", "test.tsv"),
    }),
}  # fmt: skip
"""Name -> task, in the order of GLUE's table."""


def glue_parts(task: str, path: Path, notes: Notes | None = None) -> dict[str, Part]:
    """The parts of a task that are in a folder: its own, or GLUE's with the task's in it.

    Raises `InputError` if there is none.
    """
    spec = TASKS[task]
    folder = path / spec.folder if (path / spec.folder).is_dir() else path
    return {name: glue_part(task, name, file, notes) for name, file in find_part_files(folder, spec.files).items()}


def glue_part(task: str, name: str, path: Path, notes: Notes | None = None) -> Part:
    """One part of a task. Labels are needed in a part that is not a test.

    Raises `InputError`, when the part is read, for a file that is not in the task's layout: with the line.
    """
    spec = TASKS[task]
    files: tuple[Path, ...] = (path,)
    keep: _Keep = _everything
    ids = path.with_name("dev_ids.tsv")
    if path.name in ("msr_paraphrase_train.txt", "dev_ids.tsv") and ids.is_file():
        path = path.with_name("msr_paraphrase_train.txt")
        files, keep = (path, ids), _split_of(ids, dev=name == "dev")
    tell = once(notes)

    def read() -> Iterator[TextExample]:
        return _examples(spec, path, name, keep, tell)

    return Part(name, files, read, {"task": task, "part": name})


def _everything(row: TableRow) -> bool:
    return True


def _split_of(ids: Path, *, dev: bool) -> _Keep:
    """Whether a pair of Microsoft's training file belongs to GLUE's development part, or else to the rest."""
    listed = {tuple(line.split("\t")) for line in read_lines(ids)}
    return lambda row: ((row.values["#1 ID"], row.values["#2 ID"]) in listed) is dev


def _examples(spec: GlueTask, path: Path, part: str, keep: _Keep, tell: Notes) -> Iterator[TextExample]:
    labelled = not part.startswith("test")
    broken: list[int] = []
    disagreed = 0
    for row in read_rows(path, _form(spec, path), broken.append if spec.broken and labelled else None):
        where = f"{path}, line {row.line}"
        if not keep(row):
            continue
        label = _label(spec, row, where, labelled=labelled)
        if label == NO_AGREEMENT:
            disagreed += 1
            continue
        if spec.broken and labelled and not all(row.values[c[0]].strip() for c in (spec.text, spec.pair)):
            broken.append(row.line)
            continue
        yield TextExample(
            f"{path.name}, line {row.line}",
            _text(row, spec.text, where),
            _text(row, spec.pair, where) if spec.pair else None,
            label,
        )
    if broken:
        tell(f"{path}: left out {len(broken)} lines without all their columns, the first is line {min(broken)}")
    if disagreed:
        tell(f"{path}: left out {disagreed} lines without a gold label ({NO_AGREEMENT!r})")


def _form(spec: GlueTask, path: Path) -> TableFormat:
    """With a header, unless the task's files have none and this one neither."""
    if not spec.names or next(read_lines(path), "").split("\t")[0] == "index":
        return TableFormat("\t", quoting=False)
    return TableFormat("\t", quoting=False, header=False, names=spec.names)


def _text(row: TableRow, names: tuple[str, ...], where: str) -> str:
    column = next((name for name in names if name in row.values), None)
    if column is None:
        raise no_column(where, names[0], tuple(row.values))
    return checked_text(row.values[column], column, where)


def _label(spec: GlueTask, row: TableRow, where: str, *, labelled: bool) -> str | float | None:
    column = next((name for name in spec.label if name in row.values), None)
    if column is None:
        if labelled:
            raise no_column(where, spec.label[0], tuple(row.values))
        return None
    value: str = row.values[column]
    if spec.labels is None:
        score = finite(value, column, where)
        if not 0 <= score <= 5:
            raise InputError(f"{where}: {column!r} is {value}; {spec.folder}'s scores are from 0 to 5")
        return score
    if value not in spec.labels and not (value == NO_AGREEMENT and spec.labels == INFERENCE):
        raise InputError(f"{where}: {column!r} is {value!r}; {spec.folder}'s labels are {', '.join(spec.labels)}")
    return value
