"""The `tokenizers` library's own tokenizer of a model, as its users build or open it: with our vocabulary and options.

It cuts and pads by itself. Of BERT's, for rare characters its pieces are others than ours: see `text.tokenizer`.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...text import LIBRARY, Tokenizer
from ...text.vocab import CLS, SEP, SPECIAL_TOKENS, UNK
from .libraries import library


class LibraryTokenizer:
    """Texts to batches, cut to `limit` tokens and padded to the longest."""

    def __init__(self, like: Tokenizer, limit: int) -> None:
        made = _bert(like) if like.vocab.notation.style == "wordpiece" else _saved(like)
        made.enable_truncation(limit)
        made.enable_padding(pad_id=like.vocab.pad, pad_token=like.vocab.notation.pad)
        self._made = made

    def batch(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
        """input_ids, attention_mask and token_type_ids, (B, S)."""
        found = self._made.encode_batch_fast(texts)
        ids = np.array([encoding.ids for encoding in found], np.int64)
        mask = np.array([encoding.attention_mask for encoding in found], np.int64)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _bert(like: Tokenizer) -> Any:
    """The library's BERT."""
    tokenizers, vocab, options = library("tokenizers"), like.vocab, like.options
    made = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(
            dict(vocab.pieces), unk_token=UNK, max_input_chars_per_word=options["max_chars_per_word"]
        )
    )
    made.normalizer = tokenizers.normalizers.BertNormalizer(
        handle_chinese_chars=options["tokenize_chinese_chars"], strip_accents=options["strip_accents"],
        lowercase=options["lower_case"],
    )  # fmt: skip
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.post_processor = tokenizers.processors.BertProcessing((SEP, vocab.sep), (CLS, vocab.cls))
    made.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocab.ids])
    return made


def _saved(like: Tokenizer) -> Any:
    """What the library opens of the folder of another network's tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        like.save_pretrained(folder)
        return library("tokenizers").Tokenizer.from_file(str(Path(folder) / LIBRARY))
