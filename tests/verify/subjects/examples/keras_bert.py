"""A BERT of Keras's own layers, run by torch, with a step of Keras's AdamW, which adds epsilon to the root of the
uncorrected moment: `bertref verify python:keras_bert.py:Bert --optimizer adamw-epsilon-hat`."""

import os

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported; Keras need not be told elsewhere

import keras
import torch
from keras import layers, ops
from keras.activations import gelu


class Model(keras.Model):
    """All of BERT; what it computes goes into the dict that `call` returns."""

    def __init__(self, config):
        super().__init__()
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        self.parts = {}  # the names of a layer's modules in Hugging Face's model -> Keras's layer

        def part(layer, *names):
            self.parts[names] = layer
            return layer

        def norm(name):
            return part(layers.LayerNormalization(epsilon=config["layer_norm_eps"]), name)

        sizes = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
        self.tables = [part(layers.Embedding(config[size], hidden), f"bert.embeddings.{table}_embeddings")
                       for table, size in sizes.items()]  # fmt: skip
        self.norm = norm("bert.embeddings.LayerNorm")
        self.blocks = []
        for i in range(config["num_hidden_layers"]):
            at = f"bert.encoder.layer.{i}."
            projections = (f"{at}attention.{name}" for name in ("self.query", "self.key", "self.value", "output.dense"))
            self.blocks.append((
                part(layers.MultiHeadAttention(heads, hidden // heads), *projections),
                norm(at + "attention.output.LayerNorm"),
                part(layers.Dense(config["intermediate_size"], activation=gelu), at + "intermediate.dense"),
                part(layers.Dense(hidden), at + "output.dense"),
                norm(at + "output.LayerNorm"),
            ))  # fmt: skip
        self.pooler = part(layers.Dense(hidden, activation="tanh"), "bert.pooler.dense")
        self.sentence = part(layers.Dense(2), "cls.seq_relationship")
        self.transform = part(layers.Dense(hidden, activation=gelu), "cls.predictions.transform.dense")
        self.transform_norm = norm("cls.predictions.transform.LayerNorm")
        self.bias = self.add_weight(shape=(config["vocab_size"],), name="bias")

    def call(self, batch):
        seen, (words, places, kinds) = {}, self.tables
        x = words(batch["input_ids"]) + places(ops.arange(batch["input_ids"].shape[1])) + kinds(batch["token_type_ids"])
        x = seen["embeddings.norm"] = self.norm(x)
        mask = batch["attention_mask"][:, None, :] == 1
        for i, (attention, first, wide, narrow, second) in enumerate(self.blocks):
            found = attention(x, x, attention_mask=mask)
            middle = first(x + found)
            inside = wide(middle)
            x = second(middle + narrow(inside))
            made = {"attention_output": found, "attention_norm": middle, "ffn_act": inside, "output": x}
            seen |= {f"layer.{i}.{name}": value for name, value in made.items()}
        pooled = seen["pooled"] = self.pooler(x[:, 0])
        sentence = seen["nsp.logits"] = self.sentence(pooled)
        rows = ops.take_along_axis(x, batch["masked_lm_positions"][:, :, None], axis=1)
        rows = self.transform_norm(self.transform(rows))
        logits = seen["mlm.logits"] = rows @ ops.transpose(words.embeddings) + self.bias
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
        weights = batch["masked_lm_weights"]
        mlm = ops.sum(cross_entropy(batch["masked_lm_ids"], logits) * weights) / ops.sum(weights)
        nsp = ops.mean(cross_entropy(batch["next_sentence_label"], sentence))
        return seen | {"loss.mlm": mlm, "loss.nsp": nsp, "loss.total": mlm + nsp}

    def named(self):
        """Its variables by Hugging Face's names."""
        names = [f"{name}.{kind}" for modules, layer in self.parts.items() for name in modules
                 for kind in ("weight", "bias")[: len(layer.weights) // len(modules)]]  # fmt: skip
        variables = [variable for layer in self.parts.values() for variable in layer.weights]
        return dict(zip(names, variables, strict=True)) | {"cls.predictions.bias": self.bias}


def turned(name, value):
    """A dense layer's weight as the other library has it: Keras's kernels are (in, out)."""
    return value.T if value.ndim == 2 and "embeddings" not in name else value


def back(name, value, shape):
    """What Keras has for a parameter (its kernels of attention have an axis for the heads), as Hugging Face has it."""
    return turned(name, value.detach().reshape(turned(name, torch.empty(shape)).shape))


class Bert:
    precision = "float32"

    def forward(self, case):
        model, params = Model(case["config"]), case["params"]
        model(case["batch"])  # makes the variables
        variables = model.named()
        for name, variable in variables.items():
            variable.assign(turned(name, params[name]).reshape(variable.shape))
        seen = model(case["batch"])
        seen["loss.total"].backward()
        grads = {name: variable.value.grad for name, variable in variables.items()}
        found = seen | {"grad:" + name: back(name, grad, params[name].shape) for name, grad in grads.items()}
        changes = step(case["optimizer"], variables, grads)
        return found | {"update:" + name: back(name, change, params[name].shape) for name, change in changes.items()}


def step(settings, variables, grads):
    """What a step of Keras's AdamW, from the case's moments, adds to the variables."""
    optimizer = keras.optimizers.AdamW(
        settings["rate"], settings["weight_decay"], settings["beta1"], settings["beta2"], settings["epsilon"],
        global_clipnorm=settings["clip_norm"],
    )  # fmt: skip
    optimizer.exclude_from_weight_decay([v for name, v in variables.items() if name not in settings["decayed"]])
    optimizer.build(list(variables.values()))
    optimizer.iterations.assign(settings["step"] - 1)
    states = zip(variables, optimizer.variables[2::2], optimizer.variables[3::2], strict=True)  # after count and rate
    for name, *moments in states:
        for letter, moment in zip("mv", moments, strict=True):
            moment.assign(turned(name, settings["moments"][f"{name}/{letter}"]).reshape(moment.shape))
    before = {name: variable.value.detach().clone() for name, variable in variables.items()}
    optimizer.apply(list(grads.values()), list(variables.values()))
    return {name: variable.value - before[name] for name, variable in variables.items()}
