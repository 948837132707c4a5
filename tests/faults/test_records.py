"""Finished examples (TFRecord): packed, beside other text, with options that contradict them, held out, resumed."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import bertref as package

from . import records
from .asking import bertref


class Events(list[tuple[str, dict[str, Any]]]):
    """What a run reports."""

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        self.append((event, values))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [values for event, values in self if event == name]

    @property
    def start(self) -> dict[str, Any]:
        return self.of("start")[0]


def pretrain(corpus: Path, out: Path, **changes: object) -> Events:
    """A run of two steps."""
    fixed: dict[str, Any] = {"steps": 2, "batch_size": 4, "seq_len": records.S, "out": str(out)}
    events = Events()
    package.pretrain(package.PretrainOptions(corpus=(str(corpus),), **(fixed | changes)), events)
    return events


def test_records_in_gzip_are_read(tmp_path: Path) -> None:
    """The same weights as from the same records unpacked; packed in two pieces, as gzip allows."""
    plain = records.folder(tmp_path / "plain")
    content = (plain / "a.tfrecord").read_bytes()
    packed = records.folder(tmp_path / "packed")
    (packed / "a.tfrecord").unlink()
    (packed / "a.tfrecord.gz").write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))
    for name, corpus in (("plain", plain), ("packed", packed), ("file", packed / "a.tfrecord.gz")):
        assert pretrain(corpus, tmp_path / f"out-{name}").start["examples"] == 20
    weights = {(tmp_path / f"out-{name}" / "model.safetensors").read_bytes() for name in ("plain", "packed", "file")}
    assert len(weights) == 1


@pytest.mark.parametrize(("start", "end"), [(0, -9), (0, 200), (10, None)])
def test_damaged_gzip_is_an_error(tmp_path: Path, start: int, end: int | None) -> None:
    corpus = records.folder(tmp_path / "packed")
    content = gzip.compress((corpus / "a.tfrecord").read_bytes())
    (corpus / "a.tfrecord").unlink()
    (corpus / "a.tfrecord.gz").write_bytes(content[start:end])
    done = bertref("pretrain", corpus, "--seq-len", str(records.S), "--steps", "2", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "a.tfrecord.gz" in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


@pytest.mark.parametrize("name", ["a.tfrecord-00000-of-00001", "a.tfrecords", "a.TFRECORD.GZ", "examples.bin"])
def test_a_folder_that_holds_records_never_trains_on_text_beside_them(tmp_path: Path, name: str) -> None:
    """Whatever the records are called; the vocabulary and a note lie beside them."""
    corpus = records.folder(tmp_path / "records", name)
    if name.endswith("GZ"):
        (corpus / name).write_bytes(gzip.compress((corpus / name).read_bytes()))
    (corpus / "notes.txt").write_text("The examples of the river.\nThey are old.\n")
    start = pretrain(corpus, tmp_path / "out").start
    assert start["examples"] == 20
    assert start["vocabulary"] == len(records.VOCAB.splitlines())


@pytest.mark.parametrize("command", ["vocab", "prepare", "pretrain"])
@pytest.mark.parametrize("kind", ["records", "tokens"])
def test_nothing_prepared_is_taken_for_text(tmp_path: Path, command: str, kind: str) -> None:
    """A prepared folder inside a folder of text: its vocabulary is no text, and it isn't passed over in silence."""
    corpus, vocab = tmp_path / "corpus", tmp_path / "v.txt"
    corpus.mkdir()
    vocab.write_text(records.VOCAB)
    (corpus / "text.txt").write_text("The old clock struck nine.\nA bird flew over the river.\n" * 4)
    if kind == "records":
        records.folder(corpus / "old", "a.tfrecord-00000-of-00001")
    else:
        assert bertref("prepare", corpus / "text.txt", "--vocab", vocab, "--out", corpus / "old").returncode == 0
    more = {"vocab": ["--size", "40"], "prepare": ["--vocab", vocab], "pretrain": ["--steps", "2"]}[command]
    done = bertref(command, corpus, "--out", tmp_path / "out", *more)
    assert done.returncode == 2
    assert str(corpus / "old") in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_predictions_that_records_contradict_are_refused(tmp_path: Path) -> None:
    corpus = records.folder(tmp_path / "records")
    with pytest.raises(package.InputError, match="3 predictions, not 2; leave --max-predictions out"):
        pretrain(corpus, tmp_path / "out", max_predictions=2)
    assert pretrain(corpus, tmp_path / "other", max_predictions=3).of("done")


def test_a_prediction_on_padding_is_refused(tmp_path: Path) -> None:
    """The position is in the sequence, but holds no token; with weight 0 it counts for nothing."""
    changes = {"masked_lm_positions": [1, 2, 15]}
    assert pretrain(records.folder(tmp_path / "right", **changes), tmp_path / "a", steps=5).of("done")
    corpus = records.folder(tmp_path / "wrong", masked_lm_weights=[1, 1, 1], **changes)
    with pytest.raises(package.InputError, match=r"row \d, column 2: position 15 is padding"):
        pretrain(corpus, tmp_path / "b", steps=5)


# ---------------------------------------------------------------------------------------------------------------------

TEXT = "\n\n".join(
    "\n".join(f"the {a} {b} flew over the {a} {c}." for b in records.WORDS[1:7] for c in records.WORDS[7:9])
    for a in records.WORDS
)


def prepared(folder: Path, *more: str) -> tuple[int, dict, str]:
    (folder / "text.txt").write_text(TEXT + "\n")
    (folder / "v.txt").write_text(records.VOCAB + ".\n")
    files = (folder / "text.txt", "--vocab", folder / "v.txt", "--out", folder / "records")
    form = ("--format", "tfrecord", "--seq-len", str(records.S), "--max-predictions", str(records.P), "--json")
    made = bertref("prepare", *files, *form, *more)
    return made.returncode, json.loads(made.stdout or "{}"), made.stderr


def test_held_out_documents_have_files_of_their_own(tmp_path: Path) -> None:
    code, counts, errors = prepared(tmp_path, "--held-out", "0.2", "--dupe-factor", "3", "--files", "2")
    assert code == 0, errors
    assert counts["examples"] > 3 * counts["held_out_examples"] > 3
    folder = tmp_path / "records"
    assert len(list(folder.glob("*.tfrecord"))) == 2
    assert len(list((folder / "held-out").glob("*.tfrecord"))) == 1
    events = pretrain(folder, tmp_path / "out")
    assert events.start["examples"] == counts["examples"]  # not one of those held out
    assert [event["on"] for event in events.of("eval")] == ["held-out"]
    assert not events.of("message")


def test_records_may_be_evaluated_on_another_corpus(tmp_path: Path) -> None:
    """Other records, or tokens; one of another vocabulary is refused."""
    assert prepared(tmp_path)[0] == 0
    learnt, text, vocab, other = (tmp_path / name for name in ("records", "text.txt", "v.txt", "w.txt"))
    other.write_text(records.VOCAB + ".\nx\n")
    for name, file in (("tokens", vocab), ("foreign", other)):
        assert bertref("prepare", text, "--vocab", file, "--out", tmp_path / name).returncode == 0
    for number, corpus in enumerate((tmp_path / "tokens", learnt)):
        events = pretrain(learnt, tmp_path / f"out-{number}", eval_corpus=str(corpus))
        assert len(events.of("eval")) == 1
        assert not events.of("message")
    for corpus in (tmp_path / "foreign", records.folder(tmp_path / "foreign-records")):
        with pytest.raises(package.InputError, match="vocabulary"):
            pretrain(learnt, tmp_path / f"out-{corpus.name}", eval_corpus=str(corpus))
    with pytest.raises(package.InputError, match=r"text\.txt: neither TFRecord files nor"):
        pretrain(learnt, tmp_path / "out", eval_corpus=str(text))


@pytest.mark.parametrize("kind", ["records", "one document"])
def test_where_nothing_is_held_out_it_says_so_once(tmp_path: Path, kind: str) -> None:
    corpus = records.folder(tmp_path / "records")
    vocab = str(corpus / "vocab.txt")
    if kind == "one document":
        corpus = tmp_path / "one.txt"
        corpus.write_text("The old clock struck nine. A bird flew over the river. It struck the tower.\n" * 5)
    events = pretrain(corpus, tmp_path / "out", eval_every=1, vocab=vocab)
    assert not events.of("eval")
    assert len([event for event in events.of("message") if "othing is held out" in event["text"]]) == 1


def test_an_option_that_an_earlier_version_did_not_have_counts_as_its_default(tmp_path: Path) -> None:
    """A run whose record lacks options is resumed with their defaults, and with nothing else."""
    corpus = records.folder(tmp_path / "records")
    pretrain(corpus, tmp_path / "out")
    path = tmp_path / "out" / "run.json"
    content = json.loads(path.read_text())
    for name in ("masking", "weight_decay", "whole_word", "vocab_size"):
        del content["options"][name]
    path.write_text(json.dumps(content))
    events = pretrain(corpus, tmp_path / "out", resume=True)
    assert "finished" in events.of("message")[0]["text"]
    with pytest.raises(package.InputError, match=r"--weight-decay was 0\.01 and is 0\.1"):
        pretrain(corpus, tmp_path / "out", resume=True, weight_decay=0.1)
