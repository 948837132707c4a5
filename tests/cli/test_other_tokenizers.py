"""From a vocabulary of bytes or of a unigram model to a model that fills masks, on the command line."""

import itertools
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from tests import small_run
from tests.cli_helpers import in_process

OBJECTIVES = {"byte-level": "mlm", "unigram": "mlm+sop"}
KINDS = {"byte-level": ("<mask>", "<s>", "</s>", 330), "unigram": ("[MASK]", "[CLS]", "[SEP]", 66)}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tokenizer`, `tokens` and `model`, made by the commands, and what the last one printed."""
    path = tmp_path_factory.mktemp(request.param) / request.param
    path.mkdir()
    small_run.write(path)
    network = {"byte-level": {"model_type": "roberta", "type_vocab_size": 1},
               "unigram": {"model_type": "albert", "embedding_size": 8}}[request.param]  # fmt: skip
    sizes = {"vocab_size": 400, "max_position_embeddings": 64}
    (path / "config.json").write_text(json.dumps({**small_run.CONFIG, **network, **sizes}))
    text, sentences = str(path / "text.txt"), ("--sentences", "line", "--documents", "blank-line")
    size = ("--kind", request.param, "--size", "330")
    for arguments in (
        ("vocab", text, *sentences, *size, "--out", path / "tokenizer"),
        ("prepare", text, *sentences, "--vocab", path / "tokenizer", "--out", path / "tokens", "--processes", "1"),
        ("pretrain", path / "tokens", "--config", path / "config.json", "--out", path / "model", "--steps", "4",
         "--batch-size", "4", "--seq-len", "24", "--objective", OBJECTIVES[request.param], "--whole-word", "--held-out",
         "0.2"),
    ):  # fmt: skip
        done = in_process(*arguments)
        assert done.returncode == 0, done.stderr
    (path / "last.txt").write_text(done.stdout)
    return path


def test_the_tokens_are_the_texts(folder: Path) -> None:
    from bertref.data.pretraining.corpus import Corpus

    corpus = Corpus.open(folder / "tokens")
    lines = [line for line in small_run.text().split("\n") if line]
    tokenizer = corpus.tokenizer
    assert corpus.tokens(0, len(corpus)).tolist() == list(itertools.chain.from_iterable(tokenizer.ids_batch(lines)))
    assert tokenizer.vocab.size == KINDS[folder.name][3]
    assert json.loads((folder / "tokens" / "manifest.json").read_text())["tokenizer"] == tokenizer.options


@pytest.mark.parametrize("pairs", [False, True])
def test_batches_are_framed_and_padded_as_the_network_has_it(folder: Path, pairs: bool) -> None:
    from bertref.data.pretraining.corpus import Corpus
    from bertref.data.pretraining.pipeline import PretrainingData

    corpus = Corpus.open(folder / "tokens")
    vocab, doubled = corpus.vocab, folder.name == "byte-level"
    batch = next(PretrainingData(corpus, seq_len=90, pairs=pairs, masked_lm_prob=0.01).in_order(99))
    lengths = batch.attention_mask.sum(axis=1)
    assert lengths.max() <= 90
    assert lengths.min() < 90
    for ids, types, length in zip(batch.input_ids, batch.token_type_ids, lengths, strict=True):
        separators = np.flatnonzero(ids[:length] == vocab.sep)
        assert ids[0] == vocab.cls
        assert ids[length - 1] == vocab.sep
        assert (ids[length:] == vocab.pad).all()
        assert len(separators) == (1 if not pairs else 3 if doubled else 2)
        assert not doubled or not pairs or separators[1] == separators[0] + 1
        assert types.sum() == (length - 1 - separators[0] if pairs and not doubled else 0)


def test_it_fills_its_own_mask(folder: Path) -> None:
    mask, *_ = KINDS[folder.name]
    done = in_process("predict", "--model", folder / "model", "--json", f"The wind {mask} every word.")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["masks"]
    assert len(found["top"]) == 5
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    network = transformers.AutoModelForMaskedLM.from_pretrained(folder / "model").eval()
    inputs = tokenizer(f"The wind {mask} every word.", return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        row = network(**inputs).logits[0, found["position"], : len(tokenizer)].softmax(-1)
    assert [guess["id"] for guess in found["top"]] == row.topk(5).indices.tolist()
    for guess in found["top"]:
        assert guess["token"].lstrip(" ") == tokenizer.decode([guess["id"]]).lstrip(" ")
    other = next(name for name, *_ in KINDS.values() if name != mask)
    done = in_process("predict", "--model", folder / "model", f"The wind {other} every word.")
    assert f"put {mask} where a word is to be guessed" in done.stderr


def test_what_a_run_proposes_works(folder: Path) -> None:
    (line,) = (folder / "last.txt").read_text().strip().split("\n")
    done = in_process(*shlex.split(line)[1:], "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["masks"]) == 2


def test_a_pair_is_judged_by_what_its_head_learns(folder: Path) -> None:
    pair = ("predict", "--model", folder / "model", "The wind answers.", "--pair", "A letter.")
    if folder.name == "byte-level":
        assert "has no head for next-sentence" in in_process(*pair).stderr
        return
    found = json.loads(in_process(*pair, "--json").stdout)
    assert found.keys() >= {"text", "pair", "in_order"}
    shown = in_process(*pair).stdout.strip()
    assert shown.endswith("are in this order" if found["in_order"] >= 0.5 else "have changed places")
    network = transformers.AutoModelForPreTraining.from_pretrained(folder / "model").eval()
    vocab = transformers.AutoTokenizer.from_pretrained(folder / "model")
    first, second = (vocab(text, add_special_tokens=False)["input_ids"] for text in (pair[3], pair[5]))
    ids = [vocab.cls_token_id, *first, vocab.sep_token_id, *second, vocab.sep_token_id]
    types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    with torch.no_grad():
        logits = network(torch.tensor([ids]), token_type_ids=torch.tensor([types])).sop_logits
    assert found["in_order"] == pytest.approx(float(logits.softmax(-1)[0, 0]), abs=1e-6)


def test_tokenize_shows_the_pieces(folder: Path) -> None:
    mask, *_ = KINDS[folder.name]
    text = f"The wind {mask} the sea."
    told = json.loads(in_process("tokenize", "--model", folder / "model", "--json", text).stdout)
    same = json.loads(in_process("tokenize", "--vocab", folder / "tokenizer", "--json", text).stdout)
    file = json.loads(in_process("tokenize", "--vocab", folder / "tokenizer" / "tokenizer.json", "--json", text).stdout)
    assert told == same == file
    theirs = transformers.AutoTokenizer.from_pretrained(folder / "model")
    assert told["ids"] == theirs(text, add_special_tokens=False)["input_ids"]
    assert told["tokens"] == theirs.convert_ids_to_tokens(told["ids"])
    assert mask in in_process("tokenize", "--model", folder / "model", text).stdout


def test_features_name_the_frame(folder: Path) -> None:
    _, cls, sep, _ = KINDS[folder.name]
    done = in_process("features", "--model", folder / "model", "The wind.", "--layers", "-1")
    tokens = [each["token"] for each in json.loads(done.stdout)["features"]]
    assert (tokens[0], tokens[-1]) == (cls, sep)


def test_info_counts_the_vocabulary(folder: Path) -> None:
    done = in_process("info", folder / "model", "--json")
    told = json.loads(done.stdout)["vocabulary"]
    assert (told["tokens"], told["added"]) == (KINDS[folder.name][3], 0)
    shown = in_process("info", folder / "model").stdout
    assert f"The {KINDS[folder.name][0]} sat down." in shown
    assert f"tokens, {folder.name}, {'cased' if folder.name == 'byte-level' else 'lower-cased'}" in shown


def test_a_run_goes_on_from_the_model_and_its_records(folder: Path, tmp_path: Path) -> None:
    text = (folder / "text.txt", "--sentences", "line", "--documents", "blank-line")
    made = in_process(
        "prepare", *text, "--vocab", folder / "tokenizer", "--out", tmp_path / "records", "--format", "tfrecord",
        "--seq-len", "24", "--max-predictions", "4", "--dupe-factor", "1", "--processes", "1",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    short = ("--steps", "2", "--batch-size", "4", "--seq-len", "24", "--objective", "mlm")
    done = in_process("pretrain", tmp_path / "records", "--init", folder / "model", "--out", tmp_path / "out", *short)
    assert done.returncode == 0, done.stderr
    made_with, left = (place / "tokenizer.json" for place in (folder / "tokenizer", tmp_path / "out"))
    assert left.read_bytes() == made_with.read_bytes()
    other = next(kind for kind in KINDS if kind != folder.name)
    in_process("vocab", *text, "--kind", other, "--size", "330", "--out", tmp_path / "other")
    refused = in_process(
        "pretrain", tmp_path / "records", "--init", folder / "model", "--vocab", tmp_path / "other", "--out",
        tmp_path / "never", *short,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "is another vocabulary" in refused.stderr


def test_a_tokenizer_with_more_ids_than_the_model_has_rows(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "model", tmp_path / "model", ignore=shutil.ignore_patterns("checkpoint*", "data"))
    path = tmp_path / "model" / "tokenizer.json"
    library = json.loads(path.read_text(encoding="utf-8"))
    size = KINDS[folder.name][3]
    library["added_tokens"] += [{"id": number, "content": f"<{number}>"} for number in range(size, 401)]
    path.write_text(json.dumps(library), encoding="utf-8")
    done = in_process("predict", "--model", tmp_path / "model", "It rains.")
    assert done.returncode != 0
    assert "the vocabulary has 401 tokens, the model's table fewer rows" in done.stderr


def test_an_existing_folder_is_kept(folder: Path) -> None:
    done = in_process("vocab", folder / "text.txt", "--kind", folder.name, "--out", folder / "tokenizer")
    assert done.returncode != 0
    assert "exists; add --force to replace it" in done.stderr


def test_parts_of_a_corpus_are_joined_with_their_tokenizer(folder: Path, tmp_path: Path) -> None:
    from bertref.data.pretraining.corpus import Corpus

    text = (folder / "text.txt", "--sentences", "line", "--documents", "blank-line")
    for part in ("1/2", "2/2"):
        done = in_process(
            "prepare", *text, "--vocab", folder / "tokenizer", "--out", tmp_path / "parts", "--part", part,
            "--processes", "1",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    whole, joined = Corpus.open(folder / "tokens"), Corpus.open(tmp_path / "parts")
    assert joined.tokenizer.vocab == whole.tokenizer.vocab
    assert joined.tokens(0, 5).tolist() == whole.tokens(0, 5).tolist()
    assert len(joined) == len(whole)


def test_a_run_without_a_vocabulary_learns_that_of_its_network(folder: Path, tmp_path: Path) -> None:
    done = in_process(
        "pretrain", folder / "text.txt", "--sentences", "line", "--documents", "blank-line", "--config",
        folder / "config.json", "--vocab-size", "330", "--steps", "1", "--batch-size", "4", "--seq-len", "24",
        "--objective", "mlm", "--held-out", "0.2", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made, known = (
        json.loads((place / "tokenizer.json").read_text(encoding="utf-8"))
        for place in (tmp_path / "out", folder / "tokenizer")
    )
    assert made["model"] == known["model"]
