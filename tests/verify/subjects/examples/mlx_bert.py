"""A BERT in MLX, with gradients and a step of its AdamW: `bertref verify python:mlx_bert.py:Bert`.

MLX's AdamW doesn't correct its moments unless it is told to; that one is `python:mlx_bert.py:Uncorrected`."""

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim


def probes(p, config, batch):
    heads, eps, seen = config["num_attention_heads"], config["layer_norm_eps"], {}

    def dense(x, name):
        return x @ p[name + ".weight"].T + p[name + ".bias"]

    def norm(x, name):
        return mx.fast.layer_norm(x, p[name + ".weight"], p[name + ".bias"], eps)

    def split(x):  # (B, S, H) -> (B, A, S, D)
        return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)

    words, places, kinds = (p[f"bert.embeddings.{t}_embeddings.weight"] for t in ("word", "position", "token_type"))
    x = words[batch["input_ids"]] + places[: batch["input_ids"].shape[1]] + kinds[batch["token_type_ids"]]
    x = seen["embeddings.norm"] = norm(x, "bert.embeddings.LayerNorm")
    mask = batch["attention_mask"][:, None, None, :] == 1
    for i in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{i}."
        q, k, v = (split(dense(x, f"{at}attention.self.{t}")) for t in ("query", "key", "value"))
        found = mx.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5, mask=mask)
        found = seen[f"layer.{i}.context"] = found.swapaxes(1, 2).reshape(x.shape)
        x = norm(x + dense(found, at + "attention.output.dense"), at + "attention.output.LayerNorm")
        seen[f"layer.{i}.attention_norm"] = x
        wide = seen[f"layer.{i}.ffn_act"] = nn.gelu(dense(x, at + "intermediate.dense"))
        x = seen[f"layer.{i}.output"] = norm(x + dense(wide, at + "output.dense"), at + "output.LayerNorm")
    rows = mx.take_along_axis(x, batch["masked_lm_positions"][:, :, None], axis=1)
    rows = norm(nn.gelu(dense(rows, "cls.predictions.transform.dense")), "cls.predictions.transform.LayerNorm")
    logits = seen["mlm.logits"] = rows @ words.T + p["cls.predictions.bias"]
    pooled = seen["pooled"] = mx.tanh(dense(x[:, 0], "bert.pooler.dense"))
    sentence = seen["nsp.logits"] = dense(pooled, "cls.seq_relationship")
    weights = batch["masked_lm_weights"]
    mlm = (nn.losses.cross_entropy(logits, batch["masked_lm_ids"]) * weights).sum() / weights.sum()
    nsp = nn.losses.cross_entropy(sentence, batch["next_sentence_label"], reduction="mean")
    return seen | {"loss.mlm": mlm, "loss.nsp": nsp, "loss.total": mlm + nsp}


def step(settings, params, grads, bias_correction):
    """What clipping and a step of AdamW, with the case's moments, add to the parameters."""
    grads, _ = optim.clip_grad_norm(grads, settings["clip_norm"])
    changes = {}
    for decay, names in ((settings["weight_decay"], settings["decayed"]), (0.0, params.keys() - settings["decayed"])):
        optimizer = optim.AdamW(
            settings["rate"], [settings["beta1"], settings["beta2"]], settings["epsilon"], decay, bias_correction
        )
        mine = {name: params[name] for name in names}
        optimizer.init(mine)
        optimizer.state |= {
            name: {letter: mx.array(settings["moments"][f"{name}/{letter}"]) for letter in "mv"} for name in names
        }
        optimizer.state["step"] = mx.array(settings["step"] - 1, mx.uint64)
        after = optimizer.apply_gradients({name: grads[name] for name in names}, mine)
        changes |= {name: after[name] - mine[name] for name in names}
    return changes


class Bert:
    precision = "float32"
    bias_correction = True

    def forward(self, case):
        batch = {name: mx.array(array) for name, array in case["batch"].items()}
        params = {name: mx.array(array) for name, array in case["params"].items()}

        def loss(p):
            seen = probes(p, case["config"], batch)
            return seen["loss.total"], seen

        (_, seen), grads = mx.value_and_grad(loss)(params)
        changes = step(case["optimizer"], params, grads, self.bias_correction)
        return (
            seen
            | {"grad:" + name: grad for name, grad in grads.items()}
            | {"update:" + name: change for name, change in changes.items()}
        )


class Uncorrected(Bert):
    bias_correction = False
