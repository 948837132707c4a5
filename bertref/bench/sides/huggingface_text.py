"""transformers' fast tokenizer on the same texts and vocabulary."""

from pathlib import Path
from typing import Any

import numpy as np

from ...text import Tokenizer, load_vocab
from ..job import Job
from . import STEP
from .libraries import quiet_transformers
from .ours_text import checksums, documents


class Tokenizing:
    """All texts in one call, as its documentation advises; it uses the cores itself."""

    units = (STEP,)

    def __init__(self, job: Job) -> None:
        transformers = quiet_transformers()
        folder = Path(job.folder) / "tokenizer"
        folder.mkdir(exist_ok=True)
        Tokenizer(load_vocab(Path(job.folder) / "vocab.txt")).save_pretrained(folder, max_length=1 << 30)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.texts = [sentence for document in documents(job) for sentence in document.sentences]
        self.about = {
            "name": "transformers", "version": transformers.__version__, "tokenizer": type(self.tokenizer).__name__,
        }  # fmt: skip

    def ids(self) -> list[list[int]]:
        found: Any = self.tokenizer(
            self.texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False,
            split_special_tokens=True,
        )  # fmt: skip
        return found["input_ids"]  # type: ignore[no-any-return]

    def figures(self) -> dict[str, Any]:
        """As `ours_text.Tokenizing.figures`."""
        found = self.ids()
        return checksums(np.array([i for ids in found for i in ids]), np.cumsum([0, *map(len, found)]))

    def run(self, unit: str) -> None:
        self.ids()
