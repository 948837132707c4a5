"""What has to be equal between a tokenizer of bertref and one of transformers."""

from collections.abc import Sequence
from typing import Any

from bertref.text import Tokenizer


def assert_equal(ours: Tokenizer, theirs: Any, texts: Sequence[str]) -> None:
    """Ids, token types and places of the texts, and of pairs of neighbours."""
    pairs = [*texts[1:], texts[0]]
    plain = theirs(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    framed = theirs(list(texts), return_token_type_ids=True)
    paired = theirs(list(texts), pairs, return_token_type_ids=True)
    for i, (one, two) in enumerate(zip(ours.encode_batch(texts), ours.encode_batch(texts, pairs), strict=True)):
        text = texts[i]
        located = ours.locate(text)
        assert [piece.id for piece in located] == plain["input_ids"][i], text
        assert [(piece.start, piece.end) for piece in located] == plain["offset_mapping"][i], text
        assert one.input_ids == framed["input_ids"][i], text
        assert one.token_type_ids == framed["token_type_ids"][i], text
        assert two.input_ids == paired["input_ids"][i], text
        assert two.token_type_ids == paired["token_type_ids"][i], text
