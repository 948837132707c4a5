"""The `tokenizers` library's own tokenizer of BERT, as its users build it: with the vocabulary and the options of ours.

It cuts and pads by itself. For rare characters its pieces are others than ours: see `text.tokenizer`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...text import Tokenizer
from ...text.vocab import CLS, PAD, SEP, SPECIAL_TOKENS, UNK
from .libraries import library


class LibraryTokenizer:
    """Texts to batches, cut to `limit` tokens and padded to the longest."""

    def __init__(self, like: Tokenizer, limit: int) -> None:
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
        made.enable_truncation(limit)
        made.enable_padding(pad_id=vocab.pad, pad_token=PAD)
        self._made: Any = made

    def batch(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
        """input_ids, attention_mask and token_type_ids, (B, S)."""
        found = self._made.encode_batch_fast(texts)
        ids = np.array([encoding.ids for encoding in found], np.int64)
        mask = np.array([encoding.attention_mask for encoding in found], np.int64)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
