"""The published sizes, by the names that `--config` takes: layers, hidden size, and what else is said.

A head is otherwise 64 wide, and the feed-forward layer four times the hidden size. What the published models of a
variant have in common is `Variant.settings`. ALBERT's are those of its second version.

Source: Turc et al. 2019 (`tiny` to `medium`), Devlin et al. 2019 (`base`, `large`), and the variants' authors, beside
whose sizes stands a `tiny` of each.
"""

from typing import Any

from .variants import BERT, VARIANTS

PRESETS: dict[str, Any] = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
    "roberta-tiny": (2, 128),
    "roberta-base": (12, 768),
    "roberta-large": (24, 1024),
    "xlm-roberta-base": (12, 768),
    "xlm-roberta-large": (24, 1024),
    "distilbert-tiny": (2, 128),
    "distilbert-base": (6, 768),
    "albert-tiny": (2, 128, {"embedding_size": 64}),
    "albert-base": (12, 768),
    "albert-large": (24, 1024),
    "albert-xlarge": (24, 2048, {"num_attention_heads": 16}),
    "albert-xxlarge": (12, 4096),
}


def preset_settings(name: str) -> dict[str, Any]:
    """The fields of `BertConfig` that a preset gives. Raises `KeyError` for an unknown one."""
    layers, width, *own = PRESETS[name]
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": width // 64,
             "intermediate_size": 4 * width}  # fmt: skip
    variant = VARIANTS.get(name.rpartition("-")[0], BERT)
    return {**variant.settings, **sizes, **(own[0] if own else {})}
