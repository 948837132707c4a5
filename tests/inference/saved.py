"""Small models with any head, written by transformers itself, in float64 and with weights far from zero."""

from pathlib import Path
from typing import Any

import torch
import transformers

from bertref.text import SPECIAL_TOKENS, Tokenizer, Vocab

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PIECES = str.split(
    "the who where when what wrote lived in rain it book city , . ' ? ! - ( ) and new york ada love london went he "
    "##lace ##ing ##ed"
)
VOCAB = Vocab((*SPECIAL_TOKENS, *PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS)), source="small")

TEXT = (
    "Ada Lovelace lived in London, in 1852. It rained; he went to New York (the city) and wrote the book.\n"
    "Who lived where? Zoë's café -- naïve -- was 'the city'!"
)


def make(folder: Path, kind: str, *, positions: int = 48, seed: int = 0, **settings: Any) -> Any:
    """A folder with transformers' `kind` ("BertForQuestionAnswering", ...); returns the network in float64.

    `settings` go into the config: num_labels, id2label, problem_type, hidden_act, ...
    """
    config = transformers.BertConfig(
        vocab_size=len(VOCAB), hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=positions, **settings,
    )  # fmt: skip
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    network = getattr(transformers, kind)(config).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        _spread(network)
        if not getattr(config, "tie_word_embeddings", True):  # then transformers has two biases, of which one is used
            network.cls.predictions.bias.copy_(network.cls.predictions.decoder.bias)
    network.save_pretrained(folder)
    Tokenizer(VOCAB).save_pretrained(folder, max_length=positions)
    return network


def _spread(network: Any) -> None:
    """Makes a classifier's answers differ from text to text: without it, one label would win everywhere."""
    classifier = getattr(network, "classifier", None) or getattr(network, "qa_outputs", None)
    if classifier is None or type(network).__name__ == "BertForMultipleChoice":
        return
    ids = torch.randint(5, len(VOCAB), (40, 12))
    out = network(ids)
    logits = torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits
    logits = logits.reshape(-1, logits.shape[-1])
    classifier.weight.div_(logits.std(0)[:, None])
    classifier.bias.sub_(logits.mean(0)).div_(logits.std(0))


def labels(*names: str) -> dict[str, Any]:
    """The config's entries for a classifier with these labels."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def pipeline(task: str, folder: Path, network: Any, **options: Any) -> Any:
    """transformers' own way from a text to a result."""
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    return transformers.pipeline(task, model=network, tokenizer=tokenizer, device="cpu", **options)
