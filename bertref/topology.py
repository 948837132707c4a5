"""The network as a table: every tensor, what it is made from, with which parameters, by which op.

    rows(config, heads, objective)     the rows in the order of the computation

Heads bring their rows (`heads.Head.rows`), objectives those of the losses. The names of probes come from here, their
axes and which of their elements count, the order and the inputs of `verify`'s steps, forward and backward (a tensor's
gradient is made from the gradients of those that read it), the columns and the formulas of its reports, and the modules
of Hugging Face's in which it looks for a tensor.

Only names and edges are shared. The model is written a second time, independently: `ops`, `layers`, `model` and the
functions of `heads` and `objectives` never read this table, so that it can be held against what they compute (a test
replays every row from what the model, and transformers, recorded).

Variants of the network are other rows:

    ALBERT           the parameters of the first layer that has them in the rows of all that share them: a parameter's
                     gradient adds up over the rows that have it, as that of the word embeddings does; the embeddings
                     get a dense row, and their other rows the width E
    DistilBERT       no row for the token types, and `embeddings.sum` without that input; relu in the pooler's place
    RoBERTa          other arguments of the positions' lookup: they are counted from the padding id on

Not built: pre-layer-norm, with other inputs: `attention_norm` reads {x}, query, key and value read it, and
`attention_sum` adds {x} as before; `output` is the sum, and a last norm follows the layers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from .config import BertConfig
from .heads import DECODER, HEADS, expanded, with_pooler
from .objectives import choice, classification, multi_label, pretraining, regression, spans, tokens
from .row import (
    ACTIVATION,
    ADD,
    ATTENTION,
    DENSE,
    EMBEDDING,
    LAYER_NORM,
    RELU,
    SOFTMAX,
    TANH,
    Parameter,
    TensorRow,
    weight_and_bias,
)

_E, _L = "bert.embeddings.", "bert.encoder.layer.{i}."
_TABLES = {"word": "input_ids", "position": "positions", "token_type": "token_type_ids"}
_H, _I, _HEADS = "B S H", "B S I", "B A S S"


def _lookup(table: str, ids: str) -> TensorRow:
    module = f"{_E}{table}_embeddings"
    return TensorRow(f"embeddings.{table}", "lookup", (), (Parameter(f"{module}.weight", table),), _H, "tokens", table,
                     (EMBEDDING,), module, (ids,))  # fmt: skip


def _dense(name: str, x: str, module: str, axes: str, label: str) -> TensorRow:
    weights = weight_and_bias(_L + module, label)
    return TensorRow(f"layer.{{i}}.{name}", "dense", (x,), weights, axes, "tokens", label, (DENSE,), _L + module)


def _norm(name: str, x: str, parameter: str, module: str, label: str) -> TensorRow:
    """`module` is the one whose output the norm is."""
    weights = weight_and_bias(parameter, label)
    return TensorRow(name, "layer_norm", (x,), weights, _H, "tokens", label, (LAYER_NORM,), module)


def _inside(
    name: str, op: str, inputs: tuple[str, ...], axes: str, counts: str, label: str, *files: str, module: str = ""
) -> TensorRow:
    """A tensor of a layer without parameters."""
    inputs = tuple(x if x == "{x}" else f"layer.{{i}}.{x}" for x in inputs)
    return TensorRow(f"layer.{{i}}.{name}", op, inputs, (), axes, counts, label, files, module)


EMBEDDINGS = (
    *(_lookup(table, ids) for table, ids in _TABLES.items()),
    TensorRow("embeddings.sum", "add", tuple(f"embeddings.{t}" for t in _TABLES), (), _H, "tokens", "sum", (ADD,)),
    _norm("embeddings.norm", "embeddings.sum", _E + "LayerNorm", "bert.embeddings", "norm"),
)
PROJECTION = TensorRow(
    "embeddings.projection", "dense", ("embeddings.norm",), weight_and_bias(_E + "projection", "projection"), _H,
    "tokens", "projection", (DENSE,), _E + "projection",
)  # fmt: skip
LAYER = (
    _dense("query", "{x}", "attention.self.query", _H, "query"),
    _dense("key", "{x}", "attention.self.key", _H, "key"),
    _dense("value", "{x}", "attention.self.value", _H, "value"),
    _inside("scores", "scores", ("query", "key"), _HEADS, "pairs", "scores", ATTENTION, module=_L + "attention.self"),
    _inside("probs", "masked_softmax", ("scores",), _HEADS, "queries", "probs", SOFTMAX, ATTENTION,
            module=_L + "attention.self"),
    _inside("context", "context", ("probs", "value"), _H, "tokens", "context", ATTENTION),
    _dense("attention_output", "layer.{i}.context", "attention.output.dense", _H, "att_out"),
    _inside("attention_sum", "residual", ("attention_output", "{x}"), _H, "tokens", "att_sum", ADD),
    _norm("layer.{i}.attention_norm", "layer.{i}.attention_sum", _L + "attention.output.LayerNorm", _L + "attention",
          "att_norm"),
    _dense("ffn_pre", "layer.{i}.attention_norm", "intermediate.dense", _I, "ffn_pre"),
    _inside("ffn_act", "activation", ("ffn_pre",), _I, "tokens", "ffn_act", ACTIVATION),
    _dense("ffn_output", "layer.{i}.ffn_act", "output.dense", _H, "ffn_out"),
    _inside("ffn_sum", "residual", ("ffn_output", "attention_norm"), _H, "tokens", "ffn_sum", ADD),
    _norm("layer.{i}.output", "layer.{i}.ffn_sum", _L + "output.LayerNorm", _L.removesuffix("."), "output"),
)  # fmt: skip

def _embeddings(config: BertConfig) -> list[TensorRow]:
    """The rows of a config's embeddings."""
    rows = list(EMBEDDINGS)
    if not config.type_vocab_size:
        del rows[2]
        rows[2] = replace(rows[2], inputs=rows[2].inputs[:2])
    if config.variant.counts_tokens:
        rows[1] = replace(rows[1], arguments=("positions_from_padding",))
    if config.embedding_size is not None:
        rows = [*(replace(row, axes="B S E") for row in rows), PROJECTION]
    return rows


POOLER = (
    TensorRow("pooled_pre", "dense", ("{x}",), weight_and_bias("bert.pooler.dense", "pooler"), "B H", "rows",
              "pooled_pre", (DENSE,), "bert.pooler.dense", ("first_token",)),
    TensorRow("pooled", "tanh", ("pooled_pre",), (), "B H", "rows", "pooled", (TANH,), "bert.pooler"),
)  # fmt: skip


def _pooler(config: BertConfig, heads: Sequence[str]) -> tuple[TensorRow, ...]:
    """The rows of a config's pooler; where it is a part of the head, nothing but the classifier shows its output."""
    variant, pre, pooled = config.variant, *POOLER
    files = ({"tanh": TANH, "relu": RELU}[variant.pooled_by],)
    own = variant.pooled_by == "tanh" and not {*heads} & {*variant.pooler_dropout}
    return pre, replace(pooled, op=variant.pooled_by, files=files, module=pooled.module if own else "")


GIVEN = "bertref/verify/given_gradient.py"
POOLING, VECTORS = (f"bertref/inference/sentence_transformers/{name}.py" for name in ("pooling", "embeddings"))


def _inner_product(**outputs: str) -> TensorRow:
    """The loss whose gradient at some outputs is a given one: the sum of their products with what is given for them."""
    given = tuple(f"upstream.{name}" for name in outputs)
    return TensorRow("loss.total", "inner_product", tuple(outputs.values()), (), "", "", "loss.total", (GIVEN,), "",
                     given)  # fmt: skip


POOLINGS = {
    name: TensorRow(f"sentence.{name}", op, ("{x}",), (), "B H", "rows", name, (POOLING,))
    for name, op in {
        "cls": "first_of_tokens", "max": "largest_of_tokens", "mean": "mean_of_tokens",
        "mean_sqrt_len_tokens": "sum_over_root", "weightedmean": "weighted_mean_of_tokens",
        "lasttoken": "last_of_tokens",
    }.items()
}  # fmt: skip
"""What sentence-transformers calls a pooling -> its row."""
JOINED = TensorRow("sentence.joined", "joined", (), (), "B J", "rows", "joined", (VECTORS,))
"""Several poolings side by side: its inputs."""
SENTENCE_DENSE = "sentence.dense."
"""How the tensors of dense layers on a vector begin: their number follows. A case holds their weights by that name."""
ACTIVATED_BY = ("identity", "tanh", "relu")
"""What follows such a layer."""
DENSE_STEPS = {f"dense.{name}": name for name in ACTIVATED_BY}
MOST_DENSE = 4
"""So many of these layers follow each other at most."""
UNIT_LENGTH = "unit_length"
SENTENCE = (
    TensorRow("sentence.mean", "mean_of_tokens", ("{x}",), (), "B H", "rows", "mean", (GIVEN,)),
    TensorRow("sentence.embedding", "unit_length", ("sentence.mean",), (), "B H", "rows", "embedding", (GIVEN,)),
    _inner_product(sentence="sentence.embedding"),
)
OBJECTIVES = {
    "pretraining": pretraining.ROWS,
    "masked_lm": pretraining.WORDS_ALONE,
    "next_sentence": pretraining.SENTENCES_ALONE,
    "sequence_classification": classification.ROWS,
    "regression": regression.ROWS,
    "multi_label": multi_label.ROWS,
    "multiple_choice": choice.ROWS,
    "token_classification": tokens.ROWS,
    "question_answering": spans.ROWS,
    "encoder": (_inner_product(sequence="{x}"),),
    "pooler": (_inner_product(sequence="{x}", pooled="pooled"),),
    "sentence_embedding": SENTENCE,
}
"""Name -> the rows of its losses, and of what stands between the heads and them."""


def rows(
    config: BertConfig,
    heads: Sequence[str] = ("pretraining",),
    objective: str | None = "pretraining",
    *,
    tied: bool = True,
    embedding: Sequence[str] = (),
) -> tuple[TensorRow, ...]:
    """Every tensor of the encoder, of the heads (names as in `bertref.heads`) and of the objective's losses (None:
    without), in the order of the computation. Unless `tied`, the decoder has a table of its own. `embedding` is what
    makes a vector of a text: of `POOLINGS` one or several, which are joined, of `DENSE_STEPS` up to `MOST_DENSE`, and
    `UNIT_LENGTH` or not. Raises `InputError` for an unknown head."""
    found = _embeddings(config)
    start = found[-1].name
    for i in range(config.num_hidden_layers):
        found += (_filled(row, i, layer_input(i, start), config.stored_layer(i)) for row in LAYER)
    above = [*_pooler(config, heads)] if with_pooler(heads) else []
    above += (row for head in expanded(heads) for row in head.rows)
    if config.embedding_size is not None:
        above = [replace(row, axes="B P E") if row.axes == "B P H" else row for row in above]
    above += (*(OBJECTIVES[objective] if objective else ()), *sentence_rows(embedding))
    above = above if tied else [_untied(row) for row in above]
    return *found, *(_filled(row, 0, last_output(config), 0) for row in above)


def sentence_rows(embedding: Sequence[str]) -> list[TensorRow]:
    """The rows of a text's vector."""
    found = [POOLINGS[step] for step in embedding if step in POOLINGS]
    if len(found) > 1:
        found.append(replace(JOINED, inputs=tuple(row.name for row in found)))
    for number, activation in enumerate(DENSE_STEPS[step] for step in embedding if step in DENSE_STEPS):
        found.append(_sentence_dense(number, found[-1].name, activation))
    if UNIT_LENGTH in embedding:
        last = found[-1]
        found.append(replace(SENTENCE[1], files=(POOLING,), inputs=(last.name,), axes=last.axes))
    return found


def _sentence_dense(number: int, x: str, activation: str) -> TensorRow:
    name = f"{SENTENCE_DENSE}{number}"
    return TensorRow(name, "sentence_dense", (x,), (), f"B {name}", "rows", f"dense.{number}", (VECTORS,), "",
                     (name, activation))  # fmt: skip


def _untied(row: TensorRow) -> TensorRow:
    """The decoder's row with its own table."""
    if row.op != "decoder":
        return row
    return replace(row, parameters=(Parameter(DECODER, "decoder.w"), *row.parameters[1:]))


def _filled(row: TensorRow, i: int, x: str, stored: int) -> TensorRow:
    """A template with a layer's number, what it reads, and the number under which its parameters stand."""

    def fill(text: str, number: int = i) -> str:
        return text.replace("{i}", str(number)).replace("{x}", x)

    return replace(
        row, name=fill(row.name), inputs=tuple(map(fill, row.inputs)), module=fill(row.module, stored),
        parameters=tuple(Parameter(fill(name, stored), label) for name, label in row.parameters),
    )  # fmt: skip


def layer_input(i: int, start: str = "embeddings.norm") -> str:
    """The name of what layer i reads; `start` is what the first does."""
    return f"layer.{i - 1}.output" if i else start


def last_output(config: BertConfig) -> str:
    """The name of the sequence output."""
    return layer_input(config.num_hidden_layers, last_embedding(config))


def last_embedding(config: BertConfig) -> str:
    """The name of what the first layer reads."""
    return _embeddings(config)[-1].name


def probe_names(
    config: BertConfig, heads: Sequence[str] = ("pretraining",), objective: str | None = "pretraining"
) -> list[str]:
    """The names of all forward probes in the order of the computation."""
    return [row.name for row in rows(config, heads, objective)]


def readers(table: Sequence[TensorRow]) -> dict[str, tuple[TensorRow, ...]]:
    """Name -> the rows that read the tensor, whose gradients its own is made from: those of later parts of the network
    first, in a part the residual stream before what branches off."""
    parts = list(dict.fromkeys(row.part for row in table))
    order = sorted(table, key=lambda row: (-parts.index(row.part), row.op != "residual"))
    return {row.name: tuple(reader for reader in order if row.name in reader.inputs) for row in table}


def users(table: Sequence[TensorRow]) -> dict[str, tuple[TensorRow, ...]]:
    """Parameter -> the rows that have it; the word embeddings are looked up, and compared with by the decoder."""
    found: dict[str, tuple[TensorRow, ...]] = {}
    for row in table:
        for name, _ in row.parameters:
            found[name] = (*found.get(name, ()), row)
    return found


def places(table: Sequence[TensorRow]) -> Iterator[tuple[str, str, str]]:
    """(module of Hugging Face's, side, tensor) for all that can be seen there: what comes "out" of the module, goes
    "in" as its first argument, or is made "inside" of it, by attention."""
    read_by = readers(table)
    for row in table:
        if row.module:
            yield row.module, "inside" if row.op in ("scores", "masked_softmax") else "out", row.name
            continue
        for reader in read_by[row.name]:
            if reader.parameters:
                yield reader.parameters[0].name.removesuffix(".weight"), "in", row.name
                break


@cache
def _one_layer() -> tuple[dict[str, tuple[TensorRow, ...]], dict[str, Parameter]]:
    """All rows of a name, of whatever head, and all parameters."""
    config = BertConfig(num_hidden_layers=1)
    table = list(rows(config))
    for head in HEADS:
        table += (row for row in rows(config, (head,), None) if row not in table)
    layers = [_sentence_dense(number, "sentence.mean", "identity") for number in range(MOST_DENSE)]
    table += (row for row in (*SENTENCE, *POOLINGS.values(), JOINED, *layers) if row not in table)
    table += (row for row in rows(config, tied=False) if row.op == "decoder")
    table.append(PROJECTION)
    by_name: dict[str, tuple[TensorRow, ...]] = {}
    for row in table:
        by_name[row.name] = (*by_name.get(row.name, ()), row)
    return by_name, {p.name: p for row in table for p in row.parameters}


def row_like(name: str, ndim: int | None = None) -> TensorRow:
    """The row of a tensor in a model of any depth: the same tensor of layer 0. Heads share a name: the row with `ndim`
    axes is meant, or the first. Raises `KeyError` for an unknown one."""
    found = _one_layer()[0][_in_layer_0(name)]
    return next((row for row in found if len(row.axes.split()) == ndim), found[0])


def is_parameter(name: str) -> bool:
    """Whether it is the name of a parameter, of a model of any depth with any head."""
    return _in_layer_0(name) in _one_layer()[1]


def parameter_like(name: str) -> Parameter:
    """The same for a parameter."""
    return _one_layer()[1][_in_layer_0(name)]


def _in_layer_0(name: str) -> str:
    before, layer, after = name.rpartition("layer.")
    number, dot, rest = after.partition(".")
    return f"{before}layer.0.{rest}" if layer and dot and number.isdigit() else name
