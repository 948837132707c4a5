"""Small models trained by the `tokenizers` library itself, and the folders in which such models are published."""

import json
import shutil
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import tokenizers

from .sample_texts import SCRIPTS

ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@lru_cache(maxsize=1)
def lines(archive: Path, count: int = 700) -> tuple[str, ...]:
    """The first lines of a novel, and some text of ten scripts."""
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isfile():
                text = opened.extractfile(member).read().decode()
                break
    filled = [line for line in text.split("\n") if line.strip()][:count]
    return (*filled, *(4 * list(SCRIPTS.values())))


def byte_level(texts: Sequence[str], size: int = 1000) -> dict[str, Any]:
    """The model of a byte-level BPE."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=ROBERTA_SPECIALS, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(texts, trainer)
    return json.loads(made.to_str())["model"]


def unigram(texts: Sequence[str], size: int = 800) -> list[tuple[str, float]]:
    """(piece, score) of a unigram model, without special pieces."""
    made = tokenizers.Tokenizer(tokenizers.models.Unigram())
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=size, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator([text.lower() for text in texts], trainer)
    return [(piece, score) for piece, score in json.loads(made.to_str())["model"]["vocab"][1:]]


def roberta_folder(folder: Path, model: dict[str, Any], **config: Any) -> Path:
    """`vocab.json` and `merges.txt`, as fairseq's models were published."""
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    return described(folder, "roberta", **config)


def described(folder: Path, model_type: str, **config: Any) -> Path:
    """The folder with a `config.json` and, if anything is to be said in it, a `tokenizer_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def saved_for_transformers(tokenizer: Any, folder: Path, config: Path) -> Path:
    """What `save_pretrained` writes, beside the model's config."""
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    shutil.copy(config / "config.json", folder)
    return folder
