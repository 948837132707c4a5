"""An ONNX file, run by onnxruntime: `onnx:FILE`, or `OnnxSubject(path, model=FOLDER)`."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import InputError
from ....heads import WORD_EMBEDDINGS, labelled, parameter_shapes
from ....topology import last_output, rows
from ...graph.axes import AxesOf, rows_of
from ...integers import Misread, Stored
from ...records import Answers, Arrays, Case
from ...subject import Weights as Brought
from ..arrays import gather_predictions
from .graph import ReadGraph, Values
from .heads import heads_in, possible_heads
from .origin import merged, read_origin, rounded
from .outputs import known_outputs
from .places import TensorPlaces
from .quantised import FUSED_PRODUCTS
from .sentence import OUTPUT as SENTENCE
from .sentence import embedding_of, pooled, tensor_of
from .session import Session, choices_of, input_of, inputs_for, libraries
from .unquantised import Unquantised, stored_parameters, unquantised
from .unquantised_attention import UnquantisedAttention
from .unreplayed import unreplayed
from .weights import StoredWeights

INTEGER = ("MatMulInteger", "QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear", "QAttention",
           "QEmbedLayerNormalization", *FUSED_PRODUCTS)  # fmt: skip
"""What stands in quantised graphs."""
FUSED_BY_SESSIONS = (*FUSED_PRODUCTS, "FusedMatMul", "FusedGemm")
"""What a session of onnxruntime makes of products, and no quantiser."""
PRECISIONS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
"""onnx.TensorProto's numbers of the floating-point types."""


INT8 = "quantised: judged for int8, where the nearest integer is right; what that costs the outputs isn't judged"


class OnnxSubject:
    """The file computes with its own weights, which are read from it; `model`, a Hugging Face folder or a file of
    weights, has what it doesn't name: the config, and weights that the export folded away. Where the file's are others
    than the model's, the model's are right.

    Values inside the graph, and the outputs behind them, come from one session in which they are made outputs. Looking
    may change how onnxruntime fuses; so the outputs of the file as it is are judged beside it, in total.

    Raises `InputError` for a file that can't be read or is no BERT, `BackendUnavailable` without onnx or onnxruntime.
    """

    live = True

    def __init__(self, path: str | Path, *, model: str | Path | None = None) -> None:
        onnx, _ = libraries()
        self._path = Path(path)
        self.name = f"onnx:{path}"
        if not self._path.is_file():
            raise InputError(f"{path}: no such file; name an ONNX file")
        try:
            proto = onnx.load(str(self._path))
        except Exception as error:  # protobuf, and whatever reading external data raises
            raise InputError(f"{path}: not an ONNX file that can be read ({type(error).__name__}: {error})") from None
        self._graph = ReadGraph(proto)
        metadata = {entry.key: entry.value for entry in proto.metadata_props}
        self._origin = read_origin(self._path, metadata, None if model is None else Path(model))
        ranks = [len(value.type.tensor_type.shape.dim) for value in self._graph.inputs]
        possible = possible_heads(self._origin, self._graph.initializers, ranks)
        self._choices = choices_of(self._graph.inputs)
        self._notes: list[str] = []
        weights = StoredWeights(
            self._graph, rows(self._origin.config, possible, None), self._origin.weights, self._origin.naming
        )
        self._heads = heads_in(possible, self._graph, weights)
        self._embedding = embedding_of(self._graph, self._origin.folder)
        self._rows = rows(self._origin.config, self._heads, None, embedding=self._embedding.steps)
        self._params = self._read_params(weights)
        self.precision: str | None = self._stored_precision()
        self._wide = self._wide_params(weights)
        self._recognise(weights)
        self._sessions: dict[bool, Session] = {}

    def weights(self) -> Brought | None:
        """The file's own."""
        origin = self._origin
        types = any(input_of(value.name) == "token_type_ids" for value in self._graph.inputs)
        return Brought(
            origin.config, origin.numerics, self._params, self._heads, self._num_labels, token_types=types,
            choices=self._choices, embedding=self._embedding.steps, layers=dict(self._embedding.layers),
        )  # fmt: skip

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """The outputs, and what can be seen inside. Raises `InputError` if the case isn't made of the file's weights,
        and with onnxruntime's reason where the file can't be run."""
        self._check_weights(case)
        feed, fed = inputs_for(self._graph.inputs, case, self.name)
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            if name not in fed:
                self._note(f"the file has no input {name}; it can't know what the case says there")
        names = {row.name for row in rows_of(case)}
        names = names if wanted is None else names.intersection(wanted)
        outputs = {name: value for name, value in self._outputs.items() if name in names}
        inside = {name: (value,) for name, value in self._inside.items() if name in names}
        asked = inside | outputs
        untouched: Arrays = {}
        if inside.keys() - outputs.keys() or self._unquantised:
            values, clean, misread = self._run(True, asked, feed, case)
            untouched, *_ = self._run(False, outputs, feed, case)
        else:
            values, clean, misread = self._run(False, asked, feed, case)
        own = tuple(outputs) if outputs or wanted is None else None
        return Answers(
            values, tuple(self._notes), untouched, own, clean, unjudged=self._unjudged, stored=self._stored,
            misread=misread, wide=self._wide,
        )  # fmt: skip

    # -- the file ----------------------------------------------------------------------------------------------------

    def _read_params(self, weights: StoredWeights) -> Arrays:
        config, found, model = self._origin.config, weights.arrays(), self._origin.weights
        label = labelled(self._heads)
        self._num_labels = len(found.get(label, model.get(label, [0, 0]))) if label else 2
        shapes = parameter_shapes(config, self._heads, num_labels=self._num_labels)
        found = {name: array for name, array in found.items() if shapes.get(name) == array.shape}
        params, others = merged(found, model, shapes, weights.explained)
        for name in filter(weights.read_in_integers, found):
            if name not in model or weights.explained(name, model[name]):
                params[name] = found[name].astype(np.float64)
        encoder = [name for name in shapes if name.startswith(("bert.embeddings.", "bert.encoder."))]
        missing = [name for name in encoder if name not in params]
        if missing:
            raise InputError(
                f"{self._path}: {missing[0]} and {len(missing) - 1} more weights can't be found in the graph; "
                "name the folder of the model that it was exported from with --model"
            )
        if others:
            self._note(f"the file's {others[0]} is not the model's" + _and_more(others))
        decoder = weights.decoder()
        words = found.get(WORD_EMBEDDINGS)
        same = decoder is None or words is None or rounded(decoder, words) or rounded(words, decoder)
        if not same and not weights.explained(WORD_EMBEDDINGS, model.get(WORD_EMBEDDINGS, params[WORD_EMBEDDINGS])):
            self._note("the file's decoder has another table than its word embeddings; BERT ties the two")
        return params

    def _stored_precision(self) -> str | None:
        if any(node.op_type in INTEGER for node in self._graph.nodes):
            return "int8"
        tables = [tensor.data_type for tensor in self._graph.initializers.values() if len(tensor.dims) == 2]
        kinds = {PRECISIONS[kind] for kind in tables if kind in PRECISIONS}
        return kinds.pop() if len(kinds) == 1 else "float16" if "float16" in kinds else None

    def _wide_params(self, weights: StoredWeights) -> frozenset[str]:
        """The parameters that a float16 file keeps in float32, as norms that a converter leaves alone."""
        if self.precision != "float16":
            return frozenset()
        stored = weights.arrays()
        return frozenset(name for name in self._params if name in stored and _is_wide(stored[name]))

    def _recognise(self, weights: StoredWeights) -> None:
        """What is inside, and which outputs are known; nothing that is made with weights that aren't known."""
        places = TensorPlaces(self._graph, weights, self._rows)
        self._extra, self._added = places.extra, places.added
        known: set[str] = set()
        for row in self._rows:
            if known.issuperset(row.inputs) and all(name in self._params for name, _ in row.parameters):
                known.add(row.name)
        self._unquantised: dict[str, Unquantised | UnquantisedAttention] = {}
        self._stored: dict[str, tuple[Stored, ...]] = {}
        if self.precision == "int8":
            self._stored = stored_parameters(weights, self._rows, self._params, self._origin.weights)
            self._unquantised = unquantised(
                self._graph, weights, places, self._rows, self._params, self._origin.weights
            )
            self._note(INT8)
        last, steps = last_output(self._origin.config), self._embedding.steps
        outputs = known_outputs(self._graph, self._rows, places.values, last, tensor_of(steps))
        inside = places.values | pooled(self._graph, steps)
        self._inside = {name: value for name, value in inside.items() if name in known}
        self._outputs = {name: names for name, names in outputs.items() if name in known}
        self._unjudged = self._made_of_integers(places)
        judged = {output for names in self._outputs.values() for output in names}
        others = [name for name in self._graph.outputs if name not in judged]
        if not judged and not self._inside:
            raise InputError(
                f"{self._path}: none of its outputs ({', '.join(others)}) is known; name them last_hidden_state, "
                "pooler_output, prediction_logits, seq_relationship_logits, or as probes (layer.0.output)"
            )
        if self._embedding.unknown:
            self._note(f"not judged, because how it is pooled isn't known: {SENTENCE} ({self._embedding.unknown})")
            others = [name for name in others if name != SENTENCE]
        if others:
            self._note(f"not judged, because what they compute isn't known: the file's outputs {', '.join(others)}")

    def _made_of_integers(self, places: TensorPlaces) -> dict[str, str]:
        """What can't be judged, because integers inside of fused nodes make it, and why."""
        if self.precision != "int8":
            return {}
        stop = frozenset({*places.values.values(), *self._inside.values()})
        values = {name: output for name, (output, *_) in self._outputs.items()} | self._inside
        why, fused = dict[str, str](), False
        rows = {row.name: row for row in self._rows}
        for name, value in values.items():
            if name in rows and places.left_out(rows[name]):
                continue
            clean = self._unquantised.get(name)
            if isinstance(clean, Unquantised) and clean.unknown:
                why[name] = f"made of rounded values by {clean.unknown}, which isn't replayed"
                del self._unquantised[name]
                continue
            node = self._extra[value][0] if value in self._extra else self._graph.maker.get(value)
            op = unreplayed(self._graph, node, clean, stop - {value})
            if op:
                why[name] = f"made by {op}, whose integers aren't replayed"
                fused = fused or op in FUSED_BY_SESSIONS
        if why:
            count = f"{len(why)} tensor" + "s" * (len(why) > 1)
            advice = "; verify the file as it was before a session optimised it" if fused else ""
            self._note(f"{count} can't be judged: {', '.join(sorted(set(why.values())))}{advice}")
        return why

    def _check_weights(self, case: Case) -> None:
        for name in self._params.keys() & case.shapes.keys():
            own, given = self._params[name], case.params.get(name)
            if given is None or given.shape != own.shape or not np.array_equal(_single(given), _single(own)):
                raise InputError(
                    f"{self.name}: {name} of the case is not the file's; an ONNX file computes with its own weights, "
                    "so make the case from `weights()`"
                )

    # -- running -----------------------------------------------------------------------------------------------------

    def _run(
        self, inside: bool, asked: Mapping[str, tuple[str, ...]], feed: dict[str, Any], case: Case
    ) -> tuple[Arrays, Arrays, dict[str, tuple[Misread, ...]]]:  # fmt: skip
        """The tensors; those of them from which quantisation can be taken, without it; and what is misread in these."""
        if not asked:
            return {}, {}, {}
        cleaned = {name: self._unquantised[name] for name in asked if name in self._unquantised} if inside else {}
        if inside not in self._sessions:
            self._sessions[inside] = self._looking_inside() if inside else Session(self._path)
        needed = {name for names in asked.values() for name in names}.union(*(one.names() for one in cleaned.values()))
        found = self._graph.with_hidden(self._sessions[inside].run(self._graph.real(needed), feed), needed)
        axes = AxesOf(case)

        def shaped(tensor: str, value: Values) -> Values:
            if tensor in self._added:
                value = value + self._graph.constant(self._added[tensor])
            return canonical(tensor, value, case, axes(tensor).shape)

        values = {tensor: shaped(tensor, _joined([found[name] for name in names])) for tensor, names in asked.items()}
        clean = {tensor: shaped(tensor, one(found, case)) for tensor, one in cleaned.items()}
        misread = {
            tensor: tuple(
                Misread(some.kind, some.words, clean[tensor] - shaped(tensor, one.read_rightly(found, some)))
                for some in one.misreadings
            )
            for tensor, one in cleaned.items() if isinstance(one, Unquantised) and one.misreadings
        }  # fmt: skip
        return values, clean, misread

    def _looking_inside(self) -> Session:
        seen = set(self._inside.values()).union(*(one.names() for one in self._unquantised.values()))
        extra = {name: (node.output[0], number) for name, (node, number) in self._extra.items()}
        return Session(self._path, sorted(self._graph.real(seen)), extra, wide=self.precision == "float16")

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


def canonical(tensor: str, value: Values, case: Case, shape: tuple[int, ...]) -> Values:
    """A value in its tensor's shape: positions looked up once for all rows are repeated; the MLM head's values, at
    every position, are gathered; rows that lie side by side are put one under the other. What can't be understood stays
    as it is, and is judged to be of another shape."""
    B, S = case.batch.input_ids.shape
    if tensor == "embeddings.position" and value.size == S * shape[-1]:
        return np.repeat(value.reshape(1, S, -1), B, axis=0)
    if tensor.startswith("mlm.") and value.size == B * S * shape[-1]:
        return gather_predictions(value.reshape(B, S, -1), case.batch)
    if value.size == int(np.prod(shape)) and value.shape[-1:] in (shape[-1:], (1,)):
        return value.reshape(shape)
    return value


def _joined(values: list[Values]) -> Values:
    """One value, or the columns (B, S) of one."""
    return values[0] if len(values) == 1 else np.stack([value.reshape(value.shape[:2]) for value in values], axis=-1)


def _single(array: Values) -> Values:
    return array.astype(np.float32)


def _and_more(names: Iterable[str]) -> str:
    more = len(list(names)) - 1
    return f", nor are {more} more of its weights; judged with the model's" if more else "; judged with the model's"


def _is_wide(values: Any) -> bool:
    """Whether float16 doesn't hold them."""
    return values.dtype != np.float16 and not np.array_equal(values.astype(np.float16).astype(values.dtype), values)
