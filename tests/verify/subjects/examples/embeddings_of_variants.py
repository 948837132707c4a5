"""The embeddings of any variant, as a program of its own: `embeddings_of_variants.py CASE OUT [MISTAKE]`.

It knows what the format of cases says, and nothing of bertref. MISTAKE is offset (RoBERTa's positions from 1 on), norm
(DistilBERT's is left out) or projection (ALBERT's without its bias).
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]


def read(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """The index of a case, and its tensors by name."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    tensors = {}
    for one in index["tensors"]:
        data = (folder / one["file"]).read_bytes()[one["offset"] :][: one["nbytes"]]
        tensors[one["name"]] = np.frombuffer(data, one["dtype"]).reshape(one["shape"])
    return index, tensors


def positions(config: dict[str, Any], ids: Any, mistake: str) -> Any:
    if config.get("model_type") != "roberta":
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    padding = config["pad_token_id"]
    real = ids != padding
    return np.cumsum(real, axis=1) * real + padding - (mistake == "offset") * real


def answers(index: dict[str, Any], t: Arrays, mistake: str) -> Arrays:
    config, found = index["config"], {}
    ids = {"word": t["input_ids"], "position": positions(config, t["input_ids"], mistake)}
    if config["type_vocab_size"]:
        ids["token_type"] = t["token_type_ids"]
    for name, rows in ids.items():
        found[f"embeddings.{name}"] = t[f"bert.embeddings.{name}_embeddings.weight"][rows]
    x = found["embeddings.sum"] = sum(found.values())
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt(x.var(-1, keepdims=True) + np.float32(index["numerics"]["layer_norm_eps"]))
    normed = normed * t["bert.embeddings.LayerNorm.weight"] + t["bert.embeddings.LayerNorm.bias"]
    x = found["embeddings.norm"] = x if mistake == "norm" else normed
    if "embedding_size" in config:
        bias = t["bert.embeddings.projection.bias"] * (mistake != "projection")
        found["embeddings.projection"] = x @ t["bert.embeddings.projection.weight"].T + bias
    return found


def write(folder: Path, case: str, found: Arrays) -> None:
    entries = []
    for name, array in found.items():
        (folder / f"{name}.bin").write_bytes(array.astype("<f4").tobytes())
        entries.append({"name": name, "dtype": "float32", "shape": list(array.shape), "file": f"{name}.bin"})
    index = {"format": "bertref-answers", "version": 1, "case": case, "precision": "float32", "tensors": entries}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


if __name__ == "__main__":
    case, out = map(Path, sys.argv[1:3])
    index, tensors = read(case)
    write(out, index["case"], answers(index, tensors, sys.argv[3] if len(sys.argv) > 3 else ""))
