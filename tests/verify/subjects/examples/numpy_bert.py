"""A BERT in plain NumPy, forward only: `bertref verify python:numpy_bert.py:forward`."""

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float32])


def forward(case):
    config, p, batch = case["config"], case["params"], case["batch"]
    heads, seen = config["num_attention_heads"], {}

    def dense(x, name):
        return x @ p[name + ".weight"].T + p[name + ".bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        y = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(config["layer_norm_eps"]))
        return y * p[name + ".weight"] + p[name + ".bias"]

    def split(x):  # (B, S, H) -> (B, A, S, D)
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)

    word, place, kind = (p[f"bert.embeddings.{t}_embeddings.weight"] for t in ("word", "position", "token_type"))
    x = word[batch["input_ids"]] + place[: batch["input_ids"].shape[1]] + kind[batch["token_type_ids"]]
    x = seen["embeddings.norm"] = norm(x, "bert.embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        name = f"bert.encoder.layer.{i}."
        q, k, v = (split(dense(x, f"{name}attention.self.{t}")) for t in ("query", "key", "value"))
        scores = q @ k.swapaxes(-1, -2) / np.float32(math.sqrt(q.shape[-1]))
        scores = np.where(batch["attention_mask"][:, None, None, :] == 1, scores, np.float32(-1e30))
        probs = np.exp(scores - scores.max(-1, keepdims=True))
        context = ((probs / probs.sum(-1, keepdims=True)) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        x = norm(x + dense(context, name + "attention.output.dense"), name + "attention.output.LayerNorm")
        x = seen[f"layer.{i}.attention_norm"] = x
        wide = dense(x, name + "intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / np.float32(math.sqrt(2))))
        x = seen[f"layer.{i}.output"] = norm(x + dense(wide, name + "output.dense"), name + "output.LayerNorm")
    return seen | {"pooled": np.tanh(dense(x[:, 0], "bert.pooler.dense"))}
