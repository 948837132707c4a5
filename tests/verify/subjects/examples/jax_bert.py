"""A BERT in JAX, with gradients: `bertref verify python:jax_bert.py:Bert`."""

import jax
import jax.numpy as jnp


def probes(p, case):
    config, batch = case["config"], case["batch"]
    seen = {}

    def dense(x, name):
        return x @ p[name + ".weight"].T + p[name + ".bias"]

    def norm(x, name):
        y = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + config["layer_norm_eps"])
        return y * p[name + ".weight"] + p[name + ".bias"]

    words = p["bert.embeddings.word_embeddings.weight"]
    x = words[batch["input_ids"]] + p["bert.embeddings.token_type_embeddings.weight"][batch["token_type_ids"]]
    x = norm(x + p["bert.embeddings.position_embeddings.weight"][: x.shape[1]], "bert.embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        name = f"bert.encoder.layer.{i}."
        q, k, v = (
            dense(x, f"{name}attention.self.{t}").reshape(*x.shape[:2], config["num_attention_heads"], -1)
            for t in ("query", "key", "value")
        )
        mask = batch["attention_mask"].astype(bool)[:, None, None, :]
        context = jax.nn.dot_product_attention(q, k, v, mask=mask).reshape(x.shape)
        x = norm(x + dense(context, name + "attention.output.dense"), name + "attention.output.LayerNorm")
        wide = jax.nn.gelu(dense(x, name + "intermediate.dense"), approximate=False)
        x = seen[f"layer.{i}.output"] = norm(x + dense(wide, name + "output.dense"), name + "output.LayerNorm")
    rows = jnp.take_along_axis(x, batch["masked_lm_positions"][:, :, None], axis=1)
    rows = norm(
        jax.nn.gelu(dense(rows, "cls.predictions.transform.dense"), approximate=False),
        "cls.predictions.transform.LayerNorm",
    )
    logits = jax.nn.log_softmax(rows @ words.T + p["cls.predictions.bias"])
    each = jnp.take_along_axis(logits, batch["masked_lm_ids"][:, :, None], axis=2)[:, :, 0]
    mlm = -(each * batch["masked_lm_weights"]).sum() / batch["masked_lm_weights"].sum()
    sentence = dense(jnp.tanh(dense(x[:, 0], "bert.pooler.dense")), "cls.seq_relationship")
    nsp = -jnp.take_along_axis(jax.nn.log_softmax(sentence), batch["next_sentence_label"][:, None], axis=1).mean()
    return seen | {"nsp.logits": sentence, "loss.mlm": mlm, "loss.nsp": nsp, "loss.total": mlm + nsp}


class Bert:
    precision = "float32"

    def forward(self, case):
        def loss(p):
            seen = probes(p, case)
            return seen["loss.total"], seen

        (_, seen), grads = jax.value_and_grad(loss, has_aux=True)(
            case["params"]
        )  # one run: values that belong together
        return seen | {"grad:" + name: grad for name, grad in grads.items()}
