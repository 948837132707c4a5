"""Small models in folders as transformers writes them, with weights that hide nothing."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *"0123456789", ".", "?"]
SIZES = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 32,
}  # fmt: skip
TEXT, PAIR = "a b c d ?", "e f a ."


def make(folder: Path, kind: str = "BertForPreTraining", **changes: Any) -> Any:
    """A folder with transformers' `kind`; returns the network."""
    torch.manual_seed(0)
    network = getattr(transformers, kind)(transformers.BertConfig(**{**SIZES, **changes})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    network.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return network


def add(file: Path, **changes: Any) -> None:
    """Adds keys to a JSON file, which is made if there is none."""
    values = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values | changes), encoding="utf-8")


def inputs(text: str, pair: str | None = None) -> dict[str, Any]:
    """What transformers' tokenizer makes of a text or two, whose words are all in the vocabulary."""
    first = ["[CLS]", *text.split(), "[SEP]"]
    second = [*pair.split(), "[SEP]"] if pair else []
    ids = torch.tensor([[WORDS.index(word) for word in first + second]])
    types = torch.tensor([[0] * len(first) + [1] * len(second)])
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": torch.ones_like(ids)}
