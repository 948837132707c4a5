"""An ONNX file, run by onnxruntime: `onnx:FILE`, or `OnnxSubject(path, model=FOLDER)`."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import BertConfig, Numerics, config_from_dict, numerics_from_dict, read_config
from ...errors import BackendUnavailable, InputError
from ...heads import parameter_shapes
from ..records import Answers, Arrays, Case
from ..subject import Weights
from .arrays import gather_predictions, to_numpy
from .onnx_graph import WORDS, GraphReader

INPUTS = {
    "input_ids": ("input_ids", "input", "ids", "tokens"),
    "attention_mask": ("attention_mask", "mask", "input_mask"),
    "token_type_ids": ("token_type_ids", "segment_ids", "token_types"),
    "position_ids": ("position_ids",),
}
"""What a file may call them; capitals, and numbers after a colon (`input_ids:0`), don't matter."""

PRECISIONS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
"""onnx.TensorProto's numbers of the floating-point types."""


class OnnxSubject:
    """The file computes with its own weights, which are read from it; `model`, a Hugging Face folder or a file of
    weights, has what it doesn't name: the config, or weights that the export folded away.

    Values inside the graph come from a second session in which they are made outputs, because looking at them may
    change how onnxruntime fuses; the file's own outputs are those of the file as it is.

    Raises `InputError` for a file that can't be read or is no BERT, `BackendUnavailable` without onnx or onnxruntime.
    """

    live = True

    def __init__(self, path: str | Path, *, model: str | Path | None = None) -> None:
        onnx, self._runtime = _libraries()
        self._path = Path(path)
        self.name = f"onnx:{path}"
        if not self._path.is_file():
            raise InputError(f"{path}: no such file; name an ONNX file")
        try:
            self._model = onnx.load(str(self._path))
        except Exception as error:  # protobuf, and whatever reading external data raises
            raise InputError(f"{path}: not an ONNX file that can be read ({type(error).__name__}: {error})") from None
        self._config, self._numerics = self._read_config(model)
        self._reader = GraphReader(self._model, self._config)
        self._notes: list[str] = []
        self._params = self._read_weights(model)
        tables = [tensor for tensor in self._reader.initializers.values() if len(tensor.dims) == 2]
        types = {tensor.data_type for tensor in tables} & PRECISIONS.keys()
        self.precision: str | None = PRECISIONS[types.pop()] if len(types) == 1 else None
        self._outputs, self._inside = self._reader.outputs(), self._reader.inside()
        if not self._outputs and not self._inside:
            known = ", ".join(value.name for value in self._model.graph.output)
            raise InputError(
                f"{path}: none of its outputs ({known}) is known; name them last_hidden_state, pooler_output, "
                "prediction_logits, seq_relationship_logits, or as probes (layer.0.output)"
            )
        self._sessions: dict[bool, Any] = {}

    def weights(self) -> Weights | None:
        """The file's own."""
        return Weights(self._config, self._numerics, self._params)

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """The outputs, and what can be seen inside. Raises `InputError` if the case isn't made of the file's weights,
        and with onnxruntime's reason where the file can't be run."""
        self._check_weights(case)
        inputs = self._inputs(case)
        values = self._run(False, self._outputs, inputs, case, wanted)
        inside = {probe: name for probe, name in self._inside.items() if probe not in values}
        values |= self._run(True, inside, inputs, case, wanted)
        return Answers(values, tuple(self._notes))

    # -- the file ----------------------------------------------------------------------------------------------------

    def _read_config(self, model: str | Path | None) -> tuple[BertConfig, Numerics]:
        about = {entry.key: entry.value for entry in self._model.metadata_props}
        if "bertref_config" in about:
            dialect = about.get("bertref_numerics")
            numerics = numerics_from_dict(json.loads(dialect)) if dialect else None
            return config_from_dict(json.loads(about["bertref_config"]), dialect=numerics, where=str(self._path))
        folder = self._path.parent if model is None else Path(model)
        folder = folder if folder.is_dir() else folder.parent
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{self._path}: says nothing of its architecture, and there is no config.json in {folder}; "
                "name the folder of the model that it was exported from with --model"
            )
        return read_config(folder / "config.json")

    def _read_weights(self, model: str | Path | None) -> Arrays:
        shapes = parameter_shapes(self._config)
        found = self._reader.parameters(shapes)
        encoder = [name for name in shapes if name.startswith(("bert.embeddings.", "bert.encoder."))]
        if model is not None and any(name not in found for name in encoder):
            found = {**_stored_weights(Path(model), shapes), **found}
        missing = [name for name in encoder if name not in found]
        if missing:
            raise InputError(
                f"{self._path}: {missing[0]} and {len(missing) - 1} more weights can't be found in the graph; "
                "name the folder of the model that it was exported from with --model"
            )
        decoder = self._reader.decoder()
        if decoder is not None and not np.array_equal(decoder, found[WORDS]):
            self._notes.append("the file's decoder has another table than its word embeddings; BERT ties the two")
        return {name: array.astype(np.float64) for name, array in found.items()}

    def _check_weights(self, case: Case) -> None:
        for name, own in self._params.items():
            given = case.params.get(name)
            if given is None or given.shape != own.shape or not np.array_equal(_single(given), _single(own)):
                raise InputError(
                    f"{self.name}: {name} of the case is not the file's; an ONNX file computes with its own weights, "
                    "so make the case from `weights()`"
                )

    # -- running -----------------------------------------------------------------------------------------------------

    def _inputs(self, case: Case) -> dict[str, npt.NDArray[Any]]:
        B, S = case.batch.input_ids.shape
        columns = np.broadcast_to(np.arange(S), (B, S))
        given = {**dict(case.batch.items()), "position_ids": columns}
        feed, fed = {}, set()
        own = {tensor.name for tensor in self._model.graph.initializer}
        for value in self._model.graph.input:
            if value.name in own:
                continue
            plain = value.name.lower().partition(":")[0]
            name = next((name for name, others in INPUTS.items() if plain in others), None)
            if name is None:
                raise InputError(
                    f"{self.name}: its input {value.name!r} is not known; name it one of {', '.join(INPUTS)}"
                )
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if len(shape) == 2 and any(size not in (0, real) for size, real in zip(shape, (B, S), strict=True)):
                raise InputError(
                    f"{self.name}: {value.name} is {tuple(shape)} in the file and {(B, S)} in the case; export it with "
                    f"free lengths, or make a case of {shape[0] or 'any'} rows of {shape[1] or 'any'} tokens"
                )
            feed[value.name] = np.ascontiguousarray(given[name], _integer(value.type.tensor_type.elem_type))
            fed.add(name)
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            if name not in fed:
                self._note(f"the file has no input {name}; it can't know what the case says there")
        return feed

    def _run(
        self, looking_inside: bool, probes: dict[str, str], feed: dict[str, Any], case: Case,
        wanted: Collection[str] | None,
    ) -> Arrays:  # fmt: skip
        asked = {probe: name for probe, name in probes.items() if wanted is None or probe in wanted}
        if not asked:
            return {}
        names = list(dict.fromkeys(asked.values()))
        try:
            arrays = self._session(looking_inside).run(names, feed)
        except Exception as error:  # onnxruntime's own classes, which share no base
            raise InputError(f"{self.name}: onnxruntime can't run it: {str(error).splitlines()[0]}") from None
        found = dict(zip(names, arrays, strict=True))
        return {probe: _canonical(probe, to_numpy(found[name], name), case) for probe, name in asked.items()}

    def _session(self, looking_inside: bool) -> Any:
        if looking_inside not in self._sessions:
            options = self._runtime.SessionOptions()
            options.log_severity_level = 3
            source: Any = str(self._path)
            if looking_inside:
                source = self._with_outputs()
                options.add_session_config_entry(
                    "session.model_external_initializers_file_folder_path", str(self._path.resolve().parent)
                )
            self._sessions[looking_inside] = self._runtime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[looking_inside]

    def _with_outputs(self) -> bytes:
        """The file again, with the values inside as outputs. Its big weights stay where they are."""
        import onnx

        model = onnx.load(str(self._path), load_external_data=False)
        there = {value.name for value in model.graph.output}
        for name in dict.fromkeys(self._inside.values()):
            if name not in there:
                model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        return bytes(model.SerializeToString())

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(f"{error.name} is not installed; pip install 'bertref[onnx]'") from None
    return onnx, onnxruntime


def _integer(kind: int) -> type[np.generic]:
    """The NumPy type of an input of ids: int32, or int64; masks may be floating-point."""
    return {1: np.float32, 6: np.int32, 9: np.bool_, 10: np.float16, 11: np.float64}.get(kind, np.int64)


def _single(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32)


def _canonical(probe: str, value: npt.NDArray[Any], case: Case) -> npt.NDArray[Any]:
    """Positions looked up once for all rows are repeated; the MLM head's values, at every position, are gathered."""
    B, S = case.batch.input_ids.shape
    if probe == "embeddings.position" and value.shape[0] == 1:
        return np.repeat(value, B, axis=0)
    if probe.startswith("mlm.") and value.shape[:2] == (B, S):
        return gather_predictions(value, case.batch)
    if probe.startswith("mlm.") and value.shape[0] == B * S:
        return gather_predictions(value.reshape(B, S, -1), case.batch)
    return value


def _stored_weights(path: Path, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """What a folder or a file of weights holds of these."""
    from ...checkpoint.names import from_huggingface, from_tensorflow
    from ...checkpoint.sources import open_source

    source = open_source(path)
    translate = from_tensorflow if source.format == "tensorflow" else from_huggingface
    found: Arrays = {}
    for stored in source.entries:
        meaning = translate(stored)
        if meaning is not None and meaning.kind == "parameter" and meaning.name in shapes:
            array = source.read(stored)
            found[meaning.name] = array.T if meaning.transposed else array
    return found
