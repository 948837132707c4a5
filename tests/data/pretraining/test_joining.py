"""A corpus prepared in parts is the corpus of one process: the same documents in the same order, whoever made them."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref.data.pretraining import shards
from bertref.data.pretraining.corpus import MANIFEST, Corpus, is_corpus
from bertref.data.pretraining.documents import Document, read_documents
from bertref.data.pretraining.joining import join, prepare_part
from bertref.data.pretraining.parts import CorpusPart, missing, present
from bertref.errors import InputError
from bertref.plumbing import files
from bertref.text import Tokenizer, Vocab
from tests.text.trained import byte_level, roberta_folder

from .corpora import VOCAB, random_documents


def write(folder: Path, files: int = 3, documents: int = 9) -> Path:
    """Files of documents, one of them packed, one of other documents' titles."""
    folder.mkdir(parents=True)
    for number in range(files):
        text = "\n\n".join("\n".join(d.sentences) for d in random_documents(number, documents=documents))
        if number == 1:
            (folder / f"{number}.txt.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{number}.txt").write_text(text + "\n", encoding="utf-8")
    return folder


def parts_of(text: Path, out: Path, count: int, order: list[int] | None = None) -> None:
    for number in order or range(1, count + 1):
        prepare_part([text], CorpusPart(number, count), Tokenizer(VOCAB), out, layout="blank-line", sentences="line")
        join(out)


def whole(text: Path, out: Path) -> Corpus:
    shards.prepare(read_documents([text], layout="blank-line", sentences="line"), Tokenizer(VOCAB), out)
    return Corpus.open(out)


def must_be_equal(found: Corpus, want: Corpus) -> None:
    assert found.document_offsets.tolist() == want.document_offsets.tolist()
    assert found.sentence_offsets.tolist() == want.sentence_offsets.tolist()
    for number in range(want.documents):
        for ours, theirs in zip(found.sentences_of(number), want.sentences_of(number), strict=True):
            assert ours.tolist() == theirs.tolist()
    for name in ("counts", "vocabulary", "tokenizer", "token_dtype", "format_version"):
        assert found.manifests[0][name] == want.manifests[0][name]


@pytest.mark.parametrize(("count", "order"), [(1, [1]), (2, [2, 1]), (3, [1, 3, 2]), (40, None)])
def test_parts_in_any_order_are_the_corpus_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, order: list[int] | None
) -> None:
    """With 40 parts some have no document."""
    monkeypatch.setattr(shards, "BLOCK", 10)
    text = write(tmp_path / "text")
    parts_of(text, tmp_path / "parts", count, order)
    joined = Corpus.open(tmp_path / "parts")
    must_be_equal(joined, whole(text, tmp_path / "one"))
    sizes = [
        json.loads((tmp_path / "parts" / part.name / MANIFEST).read_text())["counts"]["documents"]
        for part in present(tmp_path / "parts")
    ]
    assert (len(sizes), sum(sizes)) == (count, joined.documents)
    if count in (2, 3):
        assert min(sizes) > 0.5 * joined.documents / count, "shared out about evenly"


def test_the_vocabulary_of_another_tokenizer_lies_beside_the_joined_tokens(tmp_path: Path) -> None:
    text = write(tmp_path / "text")
    words = [" ".join(d.sentences) for d in random_documents(0)]
    tokenizer = Tokenizer.from_pretrained(roberta_folder(tmp_path / "model", byte_level(words, 300)))
    given = {"layout": "blank-line", "sentences": "line"}
    for number in (2, 1):
        prepare_part([text], CorpusPart(number, 2), tokenizer, tmp_path / "parts", **given)  # type: ignore[arg-type]
    join(tmp_path / "parts")
    shards.prepare(read_documents([text], **given), tokenizer, tmp_path / "one")  # type: ignore[arg-type]
    joined, one = Corpus.open(tmp_path / "parts"), Corpus.open(tmp_path / "one")
    must_be_equal(joined, one)
    assert joined.tokenizer.ids_batch(["a b"]) == one.tokenizer.ids_batch(["a b"]) == tokenizer.ids_batch(["a b"])


LAYOUTS = {
    "blank-line": lambda texts: "\n\n".join("\n".join(text) for text in texts) + "\n",
    "jsonl": lambda texts: "".join(json.dumps({"text": "\n".join(text)}) + "\n" for text in texts),
    "wiki": lambda texts: "".join(
        f'<doc id="{n}" title="t{n}">\nt{n}\n\n' + "\n".join(text) + "\n</doc>\n" for n, text in enumerate(texts)
    ),
    "file": lambda texts: "\n".join(line for text in texts for line in text) + "\n",
}  # fmt: skip
SENTENCE = st.text("aé漢b ", min_size=1, max_size=20).map(lambda text: text.strip() or "a")
FILES = st.lists(
    st.tuples(st.sampled_from(sorted(LAYOUTS)), st.lists(st.lists(SENTENCE, min_size=1, max_size=4), max_size=5)),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(FILES, st.integers(1, 6), st.sampled_from(sorted(LAYOUTS)), st.booleans())
def test_every_document_is_dealt_to_one_part(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, list[list[str]]]], count: int, layout: str,
    packed: bool,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("text")
    for number, (_, texts) in enumerate(files):
        data = LAYOUTS[layout](texts).encode()
        name = f"{number}.txt" + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(data) if packed else data)

    def read(part: CorpusPart | None) -> list[Document]:
        return list(read_documents([folder], layout=layout, sentences="line", part=part))  # type: ignore[arg-type]

    if not any(texts for _, texts in files):
        assert not any(read(CorpusPart(number, count)) for number in range(1, count + 1))
        return
    assert [d for number in range(1, count + 1) for d in read(CorpusPart(number, count))] == read(None)


def test_what_is_not_ones_own_is_not_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two files on a bound the second part splits its own documents alone, and reads nothing of the first file but
    its beginning."""
    from bertref.data.pretraining import documents as documents_module

    text = write(tmp_path / "text", files=3)
    split: list[str] = []
    sentences = documents_module._sentences
    monkeypatch.setattr(documents_module, "_sentences", lambda t, r: split.append(t.name) or sentences(t, r))
    own = list(read_documents([text], layout="blank-line", sentences="line", part=CorpusPart(3, 3)))
    assert split == [document.name for document in own]
    assert 0 < len(own) < 20


def test_a_missing_part_is_named_until_it_is_there(tmp_path: Path) -> None:
    text, out = write(tmp_path / "text"), tmp_path / "out"
    parts_of(text, out, 4, [3, 1])
    assert is_corpus(out)
    assert missing(out) == [CorpusPart(2, 4), CorpusPart(4, 4)]
    with pytest.raises(InputError, match=r"out: of 4 parts 2, 4 are missing; make them with .*--part 2/4"):
        Corpus.open(out)
    parts_of(text, out, 4, [4])
    with pytest.raises(InputError, match="of 4 parts 2 is missing; make it with"):
        Corpus.open(out)
    parts_of(text, out, 4, [2])
    must_be_equal(Corpus.open(out), whole(text, tmp_path / "one"))


def test_a_part_that_is_there_is_not_made_again_and_joins_what_is_not_joined(tmp_path: Path) -> None:
    text, out = write(tmp_path / "text"), tmp_path / "out"
    parts_of(text, out, 2)
    was = {path: path.stat().st_mtime_ns for path in out.glob("part-*/*")}
    (out / MANIFEST).unlink()
    with pytest.raises(InputError, match="parts are all there but not joined; run `bertref prepare` for any one"):
        Corpus.open(out)
    parts_of(text, out, 2, [1])
    assert {path: path.stat().st_mtime_ns for path in out.glob("part-*/*")} == was
    assert Corpus.open(out).documents == 27


def test_a_killed_part_leaves_nothing_that_counts_and_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, out = write(tmp_path / "text"), tmp_path / "out"
    parts_of(text, out, 2, [1])

    class Killed(BaseException):
        pass

    def killed(*_: object) -> int:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shards, "file_crc32c", killed)
        patch.setattr(files.shutil, "rmtree", lambda *_a, **_o: None)  # as if the process were gone
        with pytest.raises(Killed):
            parts_of(text, out, 2, [2])
    assert [path.name[:5] for path in out.iterdir() if path.name != "part-1-of-2"] == [".tmp-"]
    assert missing(out) == [CorpusPart(2, 2)]
    parts_of(text, out, 2, [2])
    assert sorted(path.name for path in out.iterdir()) == [MANIFEST, "part-1-of-2", "part-2-of-2", "vocab.txt"]
    must_be_equal(Corpus.open(out), whole(text, tmp_path / "one"))


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"tokenizer": Tokenizer(VOCAB, lower_case=False)}, "--cased"),
     ({"tokenizer": Tokenizer(Vocab((*VOCAB.tokens, "new")))}, "--vocab"), ({"sentences": "split"}, "--sentences"),
     ({"layout": "file"}, "--documents"), ({"more": "a b\n"}, "the text")],
)  # fmt: skip
def test_a_part_with_other_settings_is_named(tmp_path: Path, changes: dict[str, object], name: str) -> None:
    text, out = write(tmp_path / "text"), tmp_path / "out"
    parts_of(text, out, 2, [2])
    if more := changes.pop("more", None):
        (text / "0.txt").write_text(str(more), encoding="utf-8")
    given = {"tokenizer": Tokenizer(VOCAB), "layout": "blank-line", "sentences": "line", **changes}
    with pytest.raises(InputError) as caught:
        prepare_part([text], CorpusPart(1, 2), given.pop("tokenizer"), out, **given)  # type: ignore[arg-type]
    assert f"{out / 'part-2-of-2'}: was prepared with other settings than part 1 of 2 ({name});" in str(caught.value)
    assert present(out) == [CorpusPart(2, 2)]


def test_parts_of_another_number_and_other_folders_are_refused(tmp_path: Path) -> None:
    text, out = write(tmp_path / "text"), tmp_path / "out"
    parts_of(text, out, 3, [2])
    with pytest.raises(InputError, match="part-2-of-3: is one of 3 parts, not of 2; remove it"):
        parts_of(text, out, 2, [1])
    with pytest.raises(InputError, match="exists and holds no parts"):
        parts_of(text, text, 2, [1])
    (out / "part-2-of-3" / MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="part-2-of-3"):
        parts_of(text, out, 3, [1])


def test_a_part_that_another_process_completes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, out = write(tmp_path / "text"), tmp_path / "out"
    parts_of(text, tmp_path / "other", 2, [2])
    made = out / f"{files.PREFIX}1-part-2-of-2"
    made.parent.mkdir()
    (tmp_path / "other" / "part-2-of-2").rename(made)

    def completed_after_a_look(folder: Path) -> list[CorpusPart]:
        found = present(folder)
        if made.exists():
            made.rename(out / "part-2-of-2")
        return found

    monkeypatch.setattr("bertref.data.pretraining.joining.present", completed_after_a_look)
    parts_of(text, out, 2, [1])
    must_be_equal(Corpus.open(out), whole(text, tmp_path / "one"))


def test_a_folder_that_another_process_makes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked about the folder first, another process makes it right after the answer."""
    text, out = write(tmp_path / "text"), tmp_path / "out"
    for question in ("is_dir", "exists", "iterdir"):
        answer = getattr(Path, question)

        def answered(path: Path, answer: Any = answer, **options: Any) -> Any:
            try:
                return answer(path, **options)
            finally:
                if path == out:
                    os.makedirs(out, exist_ok=True)

        monkeypatch.setattr(Path, question, answered)
    parts_of(text, out, 2)
    must_be_equal(Corpus.open(out), whole(text, tmp_path / "one"))


def test_a_corpus_without_a_token_is_refused_when_the_last_part_is_there(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\u200b\n\n\u200b\n", encoding="utf-8")
    parts_of(tmp_path / "text.txt", tmp_path / "out", 2, [1])
    with pytest.raises(InputError, match="the corpus is empty"):
        parts_of(tmp_path / "text.txt", tmp_path / "out", 2, [2])
    with pytest.raises(InputError, match="an empty part of a corpus"):
        Corpus.open(tmp_path / "out" / "part-1-of-2")


@pytest.mark.parametrize("text", ["2", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_part_is_which_of_how_many(text: str) -> None:
    with pytest.raises(InputError, match="say which of how many"):
        CorpusPart.read(text)
    assert CorpusPart.read("2/8") == (2, 8)


def test_shards_lie_in_the_folder_or_in_a_part_of_it(tmp_path: Path) -> None:
    text, out = write(tmp_path / "text"), tmp_path / "out"
    parts_of(text, out, 2)
    manifest = json.loads((out / MANIFEST).read_text())
    for name in ("../out/part-1-of-2/00000", "other/00000", "part-1-of-2/../00000", "/00000"):
        manifest["shards"][0]["name"] = name
        (out / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(InputError, match="damaged"):
            Corpus.open(out)
    assert np.dtype(manifest["token_dtype"]) == np.uint16
