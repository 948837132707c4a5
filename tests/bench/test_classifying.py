"""`bench predict` on a file: both sides classify its texts, tokenising among the work."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.bench import Job, agreement, classifying_inputs, inputs
from bertref.bench import race as race_module
from bertref.bench.race import arena, race, with_lengths, work
from bertref.bench.sides import STEP, make_side
from bertref.bench.sides.library_tokenizer import LibraryTokenizer
from bertref.checkpoint import describe_model, load_model, save_weights
from bertref.config import BertConfig, Numerics
from bertref.errors import InputError
from bertref.text import Tokenizer
from bertref.text.trainers import Kind, train_tokenizer
from tests.bench import small
from tests.cli_helpers import in_process

POSITIONS = 24
LABELS = ("negative", "positive", "neither")


def classifier(
    folder: Path, *, labels: tuple[str, ...] = LABELS, tokenizer: Tokenizer | None = None,
    network: dict[str, Any] | None = None, **described: Any,
) -> Path:  # fmt: skip
    """A small classifier with a head for masked words beside, as the package's own model has one."""
    config = BertConfig(**{**small.CONFIG, "max_position_embeddings": POSITIONS, **(network or {})})
    numerics, heads = Numerics(), ("sequence_classification", "masked_lm")
    folder.mkdir()
    describe_model(
        folder, config, numerics, tokenizer or Tokenizer(inputs.vocabulary(config.vocab_size)),
        architecture="BertForSequenceClassification", labels=labels, **described,
    )  # fmt: skip
    params = inputs.rich_parameters(config, numerics, 5, heads)
    shape = (len(labels), config.hidden_size)
    params["classifier.weight"] = np.random.default_rng(5).standard_normal(shape, np.float32) / np.float32(8)
    params["classifier.bias"] = np.linspace(-0.5, 0.5, len(labels), dtype=np.float32)
    save_weights(folder, params)
    return folder


def reviews(tmp_path: Path, count: int = 11) -> str:
    """Lines of 1 to 40 words, capitals and unknown words among them, and blank lines between."""
    random = np.random.default_rng(2)
    lines = []
    for length in random.integers(1, 41, count):
        words = [inputs.word(int(i)) for i in random.integers(0, 300, length)]
        lines.append(" ".join(words).capitalize() + "!")
    path = tmp_path / "reviews.txt"
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def job(tmp_path: Path, **changes: Any) -> Job:
    given = {"model": str(classifier(tmp_path / "model")), "ragged": reviews(tmp_path), "batch_size": 4, **changes}
    return with_lengths(Job("predict", **given))


def test_the_texts_are_the_files_lines_and_cut_where_the_positions_end(tmp_path: Path) -> None:
    made = job(tmp_path)
    lines = [line for line in Path(made.ragged or "").read_text(encoding="utf-8").split("\n") if line]
    assert classifying_inputs.texts(made) == lines
    assert classifying_inputs.batches(made) == [lines[:4], lines[4:8], lines[8:]]
    tokens = [len(ids) + 2 for ids in load_model(made.model_folder).tokenizer.ids_batch(lines)]
    assert made.lengths == tuple(min(length, POSITIONS) for length in tokens)
    assert max(tokens) > POSITIONS > min(tokens)
    assert (work(made) or 0) > 0
    assert Job.from_json(made.to_json()) == made


def test_a_long_file_is_read_as_far_as_a_piece_of_work(tmp_path: Path) -> None:
    made = job(tmp_path, batch_size=2)
    assert len(made.lengths) == len(classifying_inputs.texts(made)) == 2 * race_module.RAGGED_BATCHES


@pytest.mark.parametrize("peer", ["onnxruntime", "transformers", "reference"])
def test_the_peer_answers_the_same_from_text(tmp_path: Path, peer: str) -> None:
    made = job(tmp_path)
    with arena(made) as folder:
        assert not (folder / "model").exists()
        own = replace(made, folder=str(folder))
        ours, theirs = make_side(own), make_side(own.of(peer))
        found = agreement.check(ours.figures(), theirs.figures(), peer, 1e-5)
        assert list(found) == [f"probabilities of text {i}" for i in range(1, 5)]
        ours.run(STEP)
        theirs.run(STEP)
        json.dumps([ours.about, theirs.about])


@pytest.mark.parametrize("peer", ["onnxruntime", "transformers"])
def test_a_roberta_races_from_text(tmp_path: Path, peer: str) -> None:
    texts = Path(reviews(tmp_path)).read_text(encoding="utf-8").split("\n")
    tokenizer = train_tokenizer(texts * 3, 290, kind="byte-level")
    network = {
        "model_type": "roberta", "vocab_size": len(tokenizer.vocab), "type_vocab_size": 1, "pad_token_id": 1,
        "max_position_embeddings": POSITIONS + 2,
    }  # fmt: skip
    folder = classifier(tmp_path / "model", tokenizer=tokenizer, network=network)
    made = with_lengths(Job("predict", model=str(folder), ragged=reviews(tmp_path), batch_size=4))
    assert max(made.lengths) == POSITIONS
    with arena(made) as place:
        own = replace(made, folder=str(place))
        ours, theirs = make_side(own), make_side(own.of(peer))
        agreement.check(ours.figures(), theirs.figures(), peer, 1e-5)
        theirs.run(STEP)
    assert (work(made) or 0) > 0


def test_both_onnx_files_classify_alike(tmp_path: Path) -> None:
    made = job(tmp_path)
    with arena(made) as folder:
        own = replace(made, folder=str(folder))
        ours, theirs = make_side(own), make_side(own.of("onnxruntime"))
        side: Any = theirs
        assert set(side.about["tried"]) == {"as exported", "fused operators"}
        for name in ("classify.onnx", "classify-fused.onnx"):
            side.session = side._open(folder / name)
            agreement.check(ours.figures(), side.figures(), name, 1e-5)


@pytest.mark.parametrize("peer", ["onnxruntime", "transformers"])
def test_all_the_work_is_done_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peer: str) -> None:
    """Every text goes through the tokenizer and the network, in batches of the job's size and in file order."""
    made = job(tmp_path)
    with arena(made) as folder:
        side: Any = make_side(replace(made, folder=str(folder)).of(peer))
        seen: list[list[str]] = []
        probabilities = side.probabilities
        monkeypatch.setattr(side, "probabilities", lambda texts: [seen.append(texts), probabilities(texts)][1])
        side.run(STEP)
        assert seen == classifying_inputs.batches(made)


def test_ours_is_the_call_of_the_command_with_a_tokenizer_that_knows_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(tmp_path)
    side: Any = make_side(made)
    calls: list[tuple[int, Any, Any]] = []
    classify = type(side.model).classify_batch

    def watched(model: Any, texts: Any, **options: Any) -> Any:
        calls.append((len(model.tokenizer._segmenter._pieces._numbers), texts, options))
        return classify(model, texts, **options)

    monkeypatch.setattr(type(side.model), "classify_batch", watched)
    side.run(STEP)
    side.run(STEP)
    texts = classifying_inputs.texts(made)
    assert calls == [(1, texts, {"truncate": "head"})] * 2
    assert len(side.model.tokenizer._segmenter._pieces._numbers) > 1


def test_the_library_cuts_and_pads_as_ours_frames(tmp_path: Path) -> None:
    made = job(tmp_path)
    tokenizer = load_model(made.model_folder).tokenizer
    texts = [*classifying_inputs.texts(made), "Äaaa [MASK] aaab-AAAC 中", "x" * 101]
    batch = LibraryTokenizer(tokenizer, POSITIONS).batch(texts)
    assert not batch["token_type_ids"].any()
    framed = tokenizer.encode_batch(texts, None, POSITIONS)
    for ids, mask, ours in zip(batch["input_ids"], batch["attention_mask"], framed, strict=True):
        assert ids[: mask.sum()].tolist() == ours.input_ids
        assert not mask[mask.sum() :].any()
        assert (ids[mask == 0] == tokenizer.vocab.pad).all()
    assert batch["input_ids"].shape == (len(texts), POSITIONS)


@pytest.mark.parametrize("kind", ["byte-level", "unigram"])
def test_the_librarys_batches_of_another_networks_tokenizer_are_ours(kind: Kind) -> None:
    words = [f"{a}{b} the film was {b}{a}" for a in ("good", "bad", "long") for b in ("ly", "er", "ish")]
    tokenizer = train_tokenizer(words * 9, 300, kind=kind)
    texts = ["the goodly film", "a longer one " * 9, "Ä 中 <mask>"]
    batch = LibraryTokenizer(tokenizer, POSITIONS).batch(texts)
    for ids, mask, ours in zip(
        batch["input_ids"], batch["attention_mask"], tokenizer.encode_batch(texts, None, POSITIONS), strict=True
    ):
        assert ids[: mask.sum()].tolist() == ours.input_ids
        assert (ids[mask == 0] == tokenizer.vocab.pad).all()


@pytest.mark.parametrize("peer", ["onnxruntime", "transformers"])
@pytest.mark.parametrize("name", ["classifier.weight", "bert.pooler.dense.weight", "bert.embeddings.LayerNorm.bias"])
def test_a_peer_with_a_wrong_weight_is_refused(tmp_path: Path, peer: str, name: str) -> None:
    made = job(tmp_path)
    with arena(made) as folder:
        ours = make_side(replace(made, folder=str(folder)))
        params = load_model(made.model_folder).params
        save_weights(made.model_folder, {**params, name: params[name] * np.float32(1.1)})
        theirs = make_side(replace(made, folder=str(folder)).of(peer))
        with pytest.raises(InputError, match="does not compute the same: probabilities of text"):
            agreement.check(ours.figures(), theirs.figures(), peer)


@pytest.mark.parametrize("spoil", ["padding", "tokens"])
def test_a_peer_that_reads_padding_or_other_tokens_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    made = job(tmp_path)
    with arena(made) as folder:
        own = replace(made, folder=str(folder))
        ours, theirs = make_side(own), make_side(own.of("onnxruntime"))
        batch = LibraryTokenizer.batch

        def wrong(tokenizer: LibraryTokenizer, texts: list[str]) -> Any:
            if spoil == "tokens":
                return batch(tokenizer, [text.replace("a", "b") for text in texts])
            return {**batch(tokenizer, texts), "attention_mask": np.ones_like(batch(tokenizer, texts)["input_ids"])}

        monkeypatch.setattr(LibraryTokenizer, "batch", wrong)
        with pytest.raises(InputError, match="does not compute the same"):
            agreement.check(ours.figures(), theirs.figures(), "onnxruntime")


def test_a_race_from_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.race_here(monkeypatch)
    given = ["bench", "predict", "--ragged", reviews(tmp_path), "--batch-size", "4", "--repeat", "2", "--threads", "1",
             "--peer", "onnxruntime", "--json", "--memory", "--model"]  # fmt: skip
    done = in_process(*given, str(classifier(tmp_path / "model")))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ratio"]["median"] > 0
    assert found["input"]["config"] == str(tmp_path / "model")
    assert (found["input"]["task"], found["input"]["sequences"]) == ("sequence-classification", 11)
    assert found["ours"]["call"] == "Model.classify_batch"
    assert found["peer"]["tokenizer"] == "tokenizers"
    assert found["agreement"]["worst"].startswith("probabilities of text")
    assert found["memory"]["predicted"] is None


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"problem_type": "multi_label_classification"}, "no softmax .multi_label_classification.; name another"),
        ({"labels": ("grade",)}, "no softmax .regression."),
    ],
)
def test_a_model_whose_scores_are_no_softmax_is_refused(
    tmp_path: Path, described: dict[str, Any], message: str
) -> None:
    given = Job("predict", ragged=reviews(tmp_path), model=str(classifier(tmp_path / "model", **described)))
    with pytest.raises(InputError, match=message):
        race(given)


def test_a_model_without_a_classifier_is_refused(tmp_path: Path) -> None:
    inputs.write_model(tmp_path / "model", small.job(tmp_path))
    with pytest.raises(InputError, match=r"this model has no classifier; name one with --model DIR"):
        race(Job("predict", ragged=reviews(tmp_path), model=str(tmp_path / "model")))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["predict", "--ragged", "FILE"], "needs a classifier: give its folder with --model DIR"),
        (["predict", "--ragged", "imdb", "--model", "m"], "--model goes with predict and --ragged FILE"),
        (["predict", "--model", "m"], "--model goes with predict and --ragged FILE"),
        (["encode", "--ragged", "FILE", "--model", "m"], "--model goes with predict and --ragged FILE"),
        (["predict", "--ragged", "FILE", "--model", "m", "--config", "mini"], "--config is the model's"),
        (["predict", "--ragged", "FILE", "--model", "m", "--seq-len", "64"], "--seq-len is the model's"),
        (["predict", "--ragged", "FILE", "--model", "nowhere"], "nowhere"),
        (["predict", "--ragged", "none.txt", "--model", "MODEL"], "none.txt: neither a mix"),
    ],
)
def test_wrong_options_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], message: str
) -> None:
    monkeypatch.setattr("bertref.default_model.available", lambda: False)
    monkeypatch.delenv("BERTREF_MODEL", raising=False)
    places = {"FILE": reviews(tmp_path), "MODEL": str(classifier(tmp_path / "model"))}
    done = in_process("bench", *(places.get(word, word) for word in more))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_without_a_name_the_package_s_model_races(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertref.default_model.FOLDER", classifier(tmp_path / "inside"))
    monkeypatch.delenv("BERTREF_MODEL", raising=False)
    raced: list[Job] = []
    monkeypatch.setattr(race_module, "race", lambda given, *_, **__: raced.append(given) or {"schema": 1})
    done = in_process("bench", "predict", "--ragged", reviews(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    assert raced[0].model == str(tmp_path / "inside")
