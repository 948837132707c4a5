"""A BERT in torch, with gradients by autograd and an optimiser step: `bertref verify python:torch_bert.py:Bert`."""

import torch
import torch.nn.functional as F


class Bert:
    precision = "float32"

    def loss(self, case, p):
        config, batch = case["config"], {name: torch.from_numpy(a) for name, a in case["batch"].items()}
        eps, width, seen = config["layer_norm_eps"], config["hidden_size"], {}

        def dense(x, name):
            return F.linear(x, p[name + ".weight"], p[name + ".bias"])

        def norm(x, name):
            return F.layer_norm(x, (width,), p[name + ".weight"], p[name + ".bias"], eps)

        def split(x):  # (B, S, H) -> (B, A, S, D)
            return x.unflatten(-1, (config["num_attention_heads"], -1)).transpose(1, 2)

        words = p["bert.embeddings.word_embeddings.weight"]
        x = (
            F.embedding(batch["input_ids"], words)
            + p["bert.embeddings.position_embeddings.weight"][: batch["input_ids"].shape[1]]
        )
        x = x + F.embedding(batch["token_type_ids"], p["bert.embeddings.token_type_embeddings.weight"])
        x = seen["embeddings.norm"] = norm(x, "bert.embeddings.LayerNorm")
        for i in range(config["num_hidden_layers"]):
            name = f"bert.encoder.layer.{i}."
            q, k, v = (split(dense(x, f"{name}attention.self.{t}")) for t in ("query", "key", "value"))
            context = F.scaled_dot_product_attention(q, k, v, batch["attention_mask"].bool()[:, None, None, :])
            context = context.transpose(1, 2).flatten(2)
            x = norm(x + dense(context, name + "attention.output.dense"), name + "attention.output.LayerNorm")
            wide = F.gelu(dense(x, name + "intermediate.dense"))
            x = seen[f"layer.{i}.output"] = norm(x + dense(wide, name + "output.dense"), name + "output.LayerNorm")
        rows = x[torch.arange(len(x))[:, None], batch["masked_lm_positions"]]
        rows = F.gelu(dense(rows, "cls.predictions.transform.dense"))
        logits = F.linear(norm(rows, "cls.predictions.transform.LayerNorm"), words, p["cls.predictions.bias"])
        sentence = dense(torch.tanh(dense(x[:, 0], "bert.pooler.dense")), "cls.seq_relationship")
        weights = batch["masked_lm_weights"]
        each = F.cross_entropy(logits.transpose(1, 2), batch["masked_lm_ids"].long(), reduction="none")
        mlm = (each * weights).sum() / weights.sum()
        total = mlm + F.cross_entropy(sentence, batch["next_sentence_label"].long())
        return seen | {"mlm.logits": logits, "nsp.logits": sentence, "loss.mlm": mlm, "loss.total": total}

    def parameters(self, case):
        return {name: torch.from_numpy(a).requires_grad_() for name, a in case["params"].items()}

    def forward(self, case):
        return self.loss(case, self.parameters(case))

    def gradients(self, case):
        p = self.parameters(case)
        self.loss(case, p)["loss.total"].backward()
        return {name: tensor.grad for name, tensor in p.items()}
