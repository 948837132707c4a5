"""The Python API for a trained model: what its heads answer, the vectors of texts, and a look inside."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import backends
from .arrays import Array
from .checkpoint import Coverage, load_model
from .checkpoint.text_windows import TextWindows
from .config import BertConfig, Numerics
from .errors import InputError
from .opset import OpSet
from .precision import cast
from .probes import Probe, Recorder
from .text import Tokenizer
from .text.encoding import Truncate

if TYPE_CHECKING:
    from .inference.explain import AttentionMap, Explanation
    from .inference.fill_mask import Guess, MaskGuesses
    from .inference.multiple_choice import ChoiceScore
    from .inference.question_answering import AnswerOptions, SpanAnswer, SpanAnswers
    from .inference.sentence_transformers.modules import EmbeddingModules
    from .inference.sequence_classification import LabelScore
    from .inference.token_classification import Span

_HOMES = {
    "AnswerOptions": "question_answering",
    "ChoiceScore": "multiple_choice",
    "Guess": "fill_mask",
    "LabelScore": "sequence_classification",
    "MaskGuesses": "fill_mask",
    "Span": "token_classification",
    "SpanAnswer": "question_answering",
    "SpanAnswers": "question_answering",
}
"""What predictors answer with, by the module of each. A predictor is loaded when it is asked: a command asks one."""

__all__ = [
    "AnswerOptions",
    "ChoiceScore",
    "Guess",
    "LabelScore",
    "MaskGuesses",
    "Model",
    "Span",
    "SpanAnswer",
    "SpanAnswers",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".inference.{_HOMES[name]}", __package__), name)


@dataclass(frozen=True)
class Model:
    """A model in memory on one backend; `load` makes it. `params` are arrays of the backend in the compute dtype, and
    read-only where `load` froze them.

    `heads`, `labels`, `problem_type`, `activation`, `windows` and `coverage` are those of `checkpoint.SavedModel`;
    `recipe` says how a folder of sentence-transformers makes a vector of a text, None elsewhere.

    A text that is too long for the model is refused unless `truncate` says which of its tokens are kept: "head",
    "tail", or "head+tail", both ends (see `text.encoding`). Texts that can't be answered raise one `TextError`, whose
    `reasons` name them all.
    """

    config: BertConfig
    numerics: Numerics = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    params: dict[str, Array] = field(repr=False)
    ops: OpSet = field(repr=False)
    packed: bool = True
    heads: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    problem_type: str | None = None
    recipe: "EmbeddingModules | None" = None
    coverage: Coverage | None = field(default=None, repr=False)
    activation: str | None = None
    windows: TextWindows | None = None

    def predict(self, text: str, *, top_k: int = 5, truncate: Truncate | None = None) -> "list[MaskGuesses]":
        """The `top_k` likeliest words for every [MASK] of a text. Raises `InputError` if it has no mask."""
        return self.predict_batch([text], top_k=top_k, truncate=truncate)[0]

    def predict_batch(
        self, texts: Sequence[str], *, top_k: int = 5, truncate: Truncate | None = None
    ) -> "list[list[MaskGuesses]]":
        """`predict` for many texts: their masks' candidates, in the order of the texts."""
        from .inference.fill_mask import fill_masks

        return fill_masks(self, texts, top_k=top_k, truncate=truncate)

    def next_sentence(self, first: str, second: str, *, truncate: Truncate | None = None) -> float:
        """The probability that `second` follows `first` in its document; of ALBERT, that they stand in their order."""
        return self.next_sentence_batch([first], [second], truncate=truncate)[0]

    def next_sentence_batch(
        self, first: Sequence[str], second: Sequence[str], *, truncate: Truncate | None = None
    ) -> list[float]:
        """`next_sentence` for many pairs."""
        from .inference.next_sentence import follow

        return follow(self, first, second, truncate=truncate)

    def classify(
        self, text: str, pair: str | None = None, *, truncate: Truncate | None = None, windows: bool | None = None
    ) -> "list[LabelScore]":
        """Every label of a text or a pair with its score, best first; of a regression its numbers.

        A longer text than the model reads is cut by `truncate`, or seen through windows: where the model's folder
        records them (`windows` of the model), or where `windows` asks for them.
        """
        return self.classify_batch([text], None if pair is None else [pair], truncate=truncate, windows=windows)[0]

    def classify_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        truncate: Truncate | None = None,
        windows: bool | None = None,
    ) -> "list[list[LabelScore]]":
        """`classify` for many texts."""
        from .inference.sequence_classification import classify

        return classify(self, texts, pairs, truncate=truncate, windows=windows)

    def choose(
        self, context: str, choices: Sequence[str], *, truncate: Truncate | None = None
    ) -> "list[ChoiceScore]":
        """The choices by how well they go on from the context, best first."""
        return self.choose_batch([context], [choices], truncate=truncate)[0]

    def choose_batch(
        self, contexts: Sequence[str], choices: Sequence[Sequence[str]], *, truncate: Truncate | None = None
    ) -> "list[list[ChoiceScore]]":
        """`choose` for many contexts, each with its choices."""
        from .inference.multiple_choice import choose

        return choose(self, contexts, choices, truncate=truncate)

    def tag(self, text: str, *, aggregation: str | None = None) -> "list[Span]":
        """The labels of a text's "tokens" or "words", or its "entities", with their places in the text.

        None chooses: entities where the labels are B-... and I-... (also in the schemes BIOES and BILOU), else words.
        """
        return self.tag_batch([text], aggregation=aggregation)[0]

    def tag_batch(self, texts: Sequence[str], *, aggregation: str | None = None) -> "list[list[Span]]":
        """`tag` for many texts."""
        from .inference.token_classification import tag

        return tag(self, texts, aggregation=aggregation)

    def answer(self, question: str, context: str, options: "AnswerOptions | None" = None) -> "SpanAnswers":
        """The stretches of a context that answer a question, best first, with their places in it."""
        return self.answer_batch([question], [context], options)[0]

    def answer_batch(
        self, questions: Sequence[str], contexts: Sequence[str], options: "AnswerOptions | None" = None
    ) -> "list[SpanAnswers]":
        """`answer` for many questions, each on its context."""
        from .inference.question_answering import answer

        return answer(self, questions, contexts, options)

    def explain(
        self, text: str, pair: str | None = None, *, method: str = "integrated", task: str | None = None,
        label: str | None = None, mask: int = 0, truncate: Truncate | None = None,
    ) -> "Explanation":
        """What each word added to the label of a text or a pair, or to the guess for its [MASK] of number `mask`.

        `method` is "integrated" (integrated gradients) or "gradient" (gradient x input, which is not complete); `label`
        the label to be explained, None: the best. `task` chooses for a model that does both, "sequence-classification"
        or "fill-mask"; None: the second where the text has a [MASK]. See `inference.explain`.
        """
        from .inference.explain import explain

        return explain(
            self, text, pair, method=method, task=task, label=label, mask=mask, truncate=truncate
        )

    def attention(
        self, text: str, pair: str | None = None, *, layer: int = -1, head: int | None = None,
        truncate: Truncate | None = None,
    ) -> "AttentionMap":
        """With which weight each token reads each other in a layer's head; without `head` the mean over all."""
        from .inference.explain import attention_map

        return attention_map(self, text, pair, layer=layer, head=head, truncate=truncate)

    def embed(
        self, texts: Sequence[str], *, pooling: str | Sequence[str] | None = None, normalize: bool | None = None
    ) -> npt.NDArray[Any]:
        """One vector a text, (len(texts), width), as the folder's recipe makes it (without one: the mean). Of a sparse
        encoder (SPLADE) the width is that of the vocabulary.

        `pooling` is one or several of `sentence_transformers.pooling.MODES` or "pooled", several are joined; it
        replaces the folder's poolings and projections, and `normalize` (to length 1) what the folder says of it. Texts
        are cut where the recipe or the model ends.
        """
        from .inference.sentence_transformers import embeddings

        return embeddings.embed(self, embeddings.chosen(self.recipe, pooling, normalize), texts)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[Any]:
        """The last layer's vectors of the texts, (len(texts), longest, H), 0 at the padding."""
        from .inference import loaded

        encodings = self.tokenizer.encode_batch(texts, None, self.config.max_length)
        if not encodings:
            return np.zeros((0, 0, self.config.hidden_size), np.float32)
        encoded, x = loaded.encode(self, encodings)
        mask, rows = (self.ops.xp.to_numpy(array) for array in (x.layout.mask, encoded.sequence))
        vectors = np.zeros((*mask.shape, rows.shape[-1]), rows.dtype)
        vectors[mask] = rows if x.layout.packed else rows[mask.reshape(-1)]
        return vectors

    def features(self, texts: Sequence[str], names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
        """Any probes (`bertref.topology.probe_names`) of the texts as one batch, and `sequence`, the last output.

        Raises `InputError` for a name that is no forward probe of the encoder, and without texts.
        """
        from .inference import loaded

        if isinstance(names, str):
            raise InputError(f"features: {names!r} is one name; give a sequence of names, ({names!r},)")
        last = f"layer.{self.config.num_hidden_layers - 1}.output"
        wanted = {last if name == "sequence" else name for name in names}
        recorder = Recorder(wanted)
        encodings = self.tokenizer.encode_batch(texts, None, self.config.max_length)
        if not encodings:
            raise InputError("features: no text given")
        x = loaded.inputs_of(self, encodings)
        loaded.run(self, x, Probe(recorder, self.ops.xp, x.layout))
        missing = wanted - set(recorder.values)
        if missing:
            raise InputError(f"features: no probe {', '.join(sorted(missing))} in this model's encoder")
        found = recorder.to_numpy(self.ops.xp)
        return {name: found[last if name == "sequence" else name] for name in names}


def load(
    folder: str | Path,
    *,
    backend: str = "numpy",
    dtype: str = "float32",
    kernels: bool = True,
    allow: Sequence[str] = (),
    freeze: bool = True,
) -> Model:
    """A model, whoever wrote it (see `checkpoint.load_model`) -> `Model` on a backend, computing in `dtype`.

    `allow` holds patterns of parameters that may be missing and of tensors that may be unused. `freeze` makes NumPy's
    arrays of weights read-only: single texts are then answered faster where MKL is used, but the first takes longer,
    and the weights take their memory twice. Raises `CheckpointError` if the folder can't be read, `InputError` if the
    backend can't compute in that dtype.
    """
    chosen = backends.get(backend)
    if dtype not in chosen.dtypes:
        raise InputError(f"{backend} computes in {', '.join(chosen.dtypes)}, not in {dtype}")
    folder = Path(folder)
    encoder, recipe = _parts(folder)
    saved = load_model(encoder, allow=allow)
    ops = OpSet(chosen, kernels=kernels).forward_only()
    params = cast(chosen.xp, {name: chosen.xp.from_numpy(array) for name, array in saved.params.items()}, dtype)
    if freeze and ops.freeze is not None:
        ops.freeze(params.values())
    return Model(
        saved.config, saved.numerics, saved.tokenizer, params, ops, packed=not chosen.static_shapes, heads=saved.heads,
        labels=saved.labels, problem_type=saved.problem_type, recipe=recipe, coverage=saved.coverage,
        activation=saved.activation, windows=saved.windows,
    )  # fmt: skip


def _parts(folder: Path) -> "tuple[Path, EmbeddingModules | None]":
    """Where the encoder lies, and how a folder of sentence-transformers makes a vector: loaded only for such a one."""
    if not (folder / "modules.json").is_file():
        return folder, None
    from .inference.sentence_transformers.modules import model_folder_of, read_recipe

    return model_folder_of(folder), read_recipe(folder)
