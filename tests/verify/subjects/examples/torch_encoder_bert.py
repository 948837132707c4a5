"""A BERT whose encoder is torch's own nn.TransformerEncoder, with gradients and a step of torch's AdamW:
`bertref verify python:torch_encoder_bert.py:Bert`."""

import torch
import torch.nn.functional as F
from torch import nn

PARTS = {  # a layer's modules by torch's names and by BERT's
    "self_attn.out_proj": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm2": "output.LayerNorm",
}


def bert_names(config):
    """Each of the encoder's parameters by torch's name, and BERT's that it holds, one below the other."""
    for i in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{i}."
        for kind in ("weight", "bias"):
            packed = [f"{layer}attention.self.{t}.{kind}" for t in ("query", "key", "value")]
            yield f"layers.{i}.self_attn.in_proj_{kind}", packed
            for theirs, ours in PARTS.items():
                yield f"layers.{i}.{theirs}.{kind}", [f"{layer}{ours}.{kind}"]


def encoder(config, p):
    layer = nn.TransformerEncoderLayer(
        config["hidden_size"], config["num_attention_heads"], config["intermediate_size"], dropout=0.0,
        activation="gelu", layer_norm_eps=config["layer_norm_eps"], batch_first=True, norm_first=False,
    )  # fmt: skip
    model = nn.TransformerEncoder(layer, config["num_hidden_layers"], enable_nested_tensor=False)
    with torch.no_grad():
        for name, parts in bert_names(config):
            model.get_parameter(name).copy_(torch.cat([p[part] for part in parts]))
    return model


class Bert:
    precision = "float32"

    def forward(self, case):
        config, batch = case["config"], {name: torch.from_numpy(a) for name, a in case["batch"].items()}
        p = {name: torch.from_numpy(a).requires_grad_() for name, a in case["params"].items()}
        model, eps, seen = encoder(config, p), config["layer_norm_eps"], {}

        def dense(x, name):
            return F.linear(x, p[name + ".weight"], p[name + ".bias"])

        def norm(x, name):
            return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], eps)

        words, places, kinds = (p[f"bert.embeddings.{t}_embeddings.weight"] for t in ("word", "position", "token_type"))
        x = words[batch["input_ids"]] + places[: batch["input_ids"].shape[1]] + kinds[batch["token_type_ids"]]
        x = seen["embeddings.norm"] = norm(x, "bert.embeddings.LayerNorm")
        for i, layer in enumerate(model.layers):
            layer.register_forward_hook(lambda _, given, found, i=i: seen.update({f"layer.{i}.output": found}))
        x = model(x, src_key_padding_mask=batch["attention_mask"] == 0)
        rows = x[torch.arange(len(x))[:, None], batch["masked_lm_positions"]]
        rows = norm(F.gelu(dense(rows, "cls.predictions.transform.dense")), "cls.predictions.transform.LayerNorm")
        logits = seen["mlm.logits"] = F.linear(rows, words, p["cls.predictions.bias"])
        pooled = seen["pooled"] = torch.tanh(dense(x[:, 0], "bert.pooler.dense"))
        sentence = seen["nsp.logits"] = dense(pooled, "cls.seq_relationship")
        each = F.cross_entropy(logits.transpose(1, 2), batch["masked_lm_ids"].long(), reduction="none")
        mlm = (each * batch["masked_lm_weights"]).sum() / batch["masked_lm_weights"].sum()
        nsp = F.cross_entropy(sentence, batch["next_sentence_label"].long())
        seen |= {"loss.mlm": mlm, "loss.nsp": nsp, "loss.total": mlm + nsp}
        (mlm + nsp).backward()
        for name, parts in bert_names(config):
            for part, grad in zip(parts, model.get_parameter(name).grad.chunk(len(parts)), strict=True):
                p[part].grad = grad.clone()
        grads = {"grad:" + name: tensor.grad.clone() for name, tensor in p.items()}
        return seen | grads | step(case["optimizer"], p)


def step(settings, p):
    """What clipping and a step of AdamW, with the case's moments, add to the parameters."""
    if settings is None:
        return {}
    before = {name: tensor.detach().clone() for name, tensor in p.items()}
    groups = [[p[name] for name in p if (name in settings["decayed"]) == decayed] for decayed in (True, False)]
    optimizer = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": settings["weight_decay"]}, {"params": groups[1], "weight_decay": 0.0}],
        lr=settings["rate"], betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"],
    )  # fmt: skip
    for name, tensor in p.items():
        m, v = (torch.from_numpy(settings["moments"][f"{name}/{moment}"]) for moment in "mv")
        optimizer.state[tensor] = {"step": torch.tensor(settings["step"] - 1.0), "exp_avg": m, "exp_avg_sq": v}
    nn.utils.clip_grad_norm_(p.values(), settings["clip_norm"])
    optimizer.step()
    return {"update:" + name: tensor.detach() - before[name] for name, tensor in p.items()}
