"""A Hugging Face folder as CTranslate2 runs it: `bertref verify python:ctranslate2_bert.py:Bert`.

It gives what its encoder gives, the last layer's output and the pooled one; the rows' lengths are its mask."""

import tempfile
from pathlib import Path

import ctranslate2
import numpy as np
import torch
import transformers


def save(case, folder):
    """The case's model as a folder, with words w0, w1, ..."""
    config = transformers.BertConfig.from_dict(case["config"])
    config.position_embedding_type = "absolute"  # CTranslate2's converter reads it; transformers 5 has no such key
    model = transformers.BertModel(config)
    params = {name.removeprefix("bert."): torch.from_numpy(array) for name, array in case["params"].items()}
    model.load_state_dict(params, strict=False)  # the heads are not CTranslate2's
    model.save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(5, config.vocab_size))]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


class Bert:
    precision = "float32"

    def forward(self, case):
        batch, layers = case["batch"], case["config"]["num_hidden_layers"]
        with tempfile.TemporaryDirectory() as folder:
            save(case, Path(folder))
            ctranslate2.converters.TransformersConverter(folder).convert(f"{folder}/ct2")
            encoder = ctranslate2.Encoder(f"{folder}/ct2", compute_type="float32")
            arrays = (batch["input_ids"], batch["attention_mask"].sum(1))
            ids, lengths = (ctranslate2.StorageView.from_array(a.astype(np.int32)) for a in arrays)
            found = encoder.forward_batch(ids, lengths, batch["token_type_ids"].tolist())
        last, pooled = (np.array(one) for one in (found.last_hidden_state, found.pooler_output))
        return {f"layer.{layers - 1}.output": last, "pooled": pooled}
