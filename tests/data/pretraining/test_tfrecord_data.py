"""Batches to the original's files and back."""

from pathlib import Path

import numpy as np
import pytest

from bertref.data.pretraining.batch import PretrainingBatch
from bertref.data.pretraining.example_proto import decode, encode
from bertref.data.pretraining.original import original_batches
from bertref.data.pretraining.pipeline import PretrainingData
from bertref.data.pretraining.tfrecord import Writer, read_records
from bertref.data.pretraining.tfrecord_data import FEATURES, TFRecordData, write_tfrecords
from bertref.errors import InputError

from .corpora import VOCAB, make, random_documents


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PretrainingData:
    corpus = make(tmp_path_factory.mktemp("corpus") / "c", random_documents(1, documents=9))
    return PretrainingData(corpus, VOCAB, seq_len=24, max_predictions=5, seed=4)


def joined(batches: list[PretrainingBatch]) -> dict[str, np.ndarray]:
    return {
        name: np.concatenate([dict(batch.items())[name] for batch in batches]) for name, _ in batches[0].items()
    }


@pytest.mark.parametrize("files", [1, 3])
def test_what_is_written_is_read(data: PretrainingData, tmp_path: Path, files: int) -> None:
    batches = list(data.in_order(8))
    paths = [tmp_path / f"{number}.tfrecord" for number in range(files)]
    assert write_tfrecords(paths, batches) == sum(map(len, batches))
    found = TFRecordData(paths)
    assert (found.seq_len, found.max_predictions, len(found)) == (24, 5, sum(map(len, batches)))
    expected = joined(batches)
    for name, array in joined(list(found.in_order(5))).items():
        assert array.dtype == expected[name].dtype
        assert np.array_equal(array, expected[name]), name


def test_the_features_are_the_original_s(data: PretrainingData, tmp_path: Path) -> None:
    batch = next(data.in_order(1))
    write_tfrecords([tmp_path / "a"], [batch])
    features = decode(next(read_records(tmp_path / "a")))
    assert list(features) == list(FEATURES)
    assert {name: (len(values), values.dtype.name) for name, values in features.items()} == {
        "input_ids": (24, "int64"),
        "input_mask": (24, "int64"),
        "segment_ids": (24, "int64"),
        "masked_lm_positions": (5, "int64"),
        "masked_lm_ids": (5, "int64"),
        "masked_lm_weights": (5, "float32"),
        "next_sentence_labels": (1, "int64"),
    }


def test_batches_are_a_function_of_the_step(data: PretrainingData, tmp_path: Path) -> None:
    count = write_tfrecords([tmp_path / "a"], data.in_order(8))
    first, second = TFRecordData([tmp_path / "a"], seed=1), TFRecordData([tmp_path / "a"], seed=1)
    steps = 3 * count // 7 + 1
    later = {step: second.batch(step, 7) for step in reversed(range(steps))}
    seen = []
    for step in range(steps):
        batch = first.batch(step, 7)
        for name, array in batch.items():
            assert np.array_equal(array, dict(later[step].items())[name])
        assert batch.example.tolist() == list(range(7 * step, 7 * step + 7))
        seen += [row.tobytes() for row in batch.input_ids]
    assert sorted(seen[:count]) == sorted(seen[count : 2 * count])  # a pass has every record once
    assert seen[:count] != seen[count : 2 * count]
    other = TFRecordData([tmp_path / "a"], seed=2).batch(0, 7)
    assert not np.array_equal(other.input_ids, first.batch(0, 7).input_ids)


def changed(path: Path, **features: np.ndarray) -> None:
    """Writes one record of the file at `path` again with other features."""
    record = {**decode(next(read_records(path))), **features}
    with Writer([path]) as writer:
        writer.write(encode({name: values for name, values in record.items() if len(values)}))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"segment_ids": np.zeros(0, np.int64)}, "offset 0: no feature segment_ids of int64 numbers"),
        ({"masked_lm_weights": np.ones(5, np.int64)}, "no feature masked_lm_weights of float32 numbers"),
        ({"segment_ids": np.zeros(7, np.int64)}, "segment_ids has 7 values, not 24"),
        ({"input_ids": np.full(24, 2**40)}, "input_ids holds a number that does not fit in 32 bits"),
    ],
)
def test_other_records_are_refused(
    data: PretrainingData, tmp_path: Path, features: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "a"
    write_tfrecords([path], [next(data.in_order(1))])
    changed(path, **features)
    with pytest.raises(InputError, match=message):
        TFRecordData([path]).batch(0, 1)


def test_nothing_to_read_or_to_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to write"):
        write_tfrecords([tmp_path / "a"], [])
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match="empty: no record in it"):
        TFRecordData([tmp_path / "empty"])
    with pytest.raises(InputError, match="no TFRecord file given"):
        TFRecordData([])


def test_the_original_s_batches_hold_the_golden_s_instances(tmp_path: Path) -> None:
    """The whole way, text to batches: the tokens of the golden stand for themselves in this vocabulary."""
    from bertref import golden
    from bertref.data.pretraining.corpus import Corpus
    from bertref.data.pretraining.documents import Document
    from bertref.data.pretraining.shards import prepare
    from bertref.text import Tokenizer, Vocab

    content = golden.details("original_instances")
    case = content["cases"][0]
    vocab = Vocab(tuple(content["vocabulary"].split()))

    def text(sentence: str) -> str:
        return sentence.replace(" ##", "")

    documents = [
        Document(str(number), [text(sentence) for sentence in document])
        for number, document in enumerate(case["documents"])
    ]
    prepare(documents, Tokenizer(vocab), tmp_path / "c")
    batches = original_batches(Corpus.open(tmp_path / "c"), 8, seq_len=32, dupe_factor=2)
    rows = joined(list(batches))
    assert len(rows["example"]) == len(case["instances"])
    for row, instance in enumerate(case["instances"]):
        length = len(instance["segment_ids"])
        assert [vocab.tokens[id_] for id_ in rows["input_ids"][row, :length]] == instance["tokens"].split()
        assert rows["attention_mask"][row].tolist() == [1] * length + [0] * (32 - length)
        assert "".join(map(str, rows["token_type_ids"][row, :length])) == instance["segment_ids"]
        count = len(instance["masked_lm_positions"])
        assert rows["masked_lm_positions"][row].tolist() == instance["masked_lm_positions"] + [0] * (20 - count)
        labels = [vocab.ids[label] for label in instance["masked_lm_labels"].split()]
        assert rows["masked_lm_ids"][row].tolist() == labels + [0] * (20 - count)
        assert rows["masked_lm_weights"][row].tolist() == [1] * count + [0] * (20 - count)
        assert rows["next_sentence_label"][row] == instance["is_random_next"]
