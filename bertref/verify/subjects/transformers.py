"""Hugging Face's model: a stock one, a folder, or somebody's own object, with all hooks placed."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import BertrefError, InputError
from ..records import Answers, Case
from ..subject import Weights

DTYPES = ("float64", "float32", "bfloat16", "float16")

Builder = Callable[[Case], Any]


class TransformersSubject:
    """A `transformers` BERT on torch.

    model      None: the library's class for a case's head, built for each case. A `torch.nn.Module`: that object, in
               the mode (train or eval) in which it is; it gets a case's weights for the time of the run and its own
               back.
               A string or path: a Hugging Face folder; what it holds no weights for is left out of the answers.
               A function: makes the model for a case.
    attention  Hugging Face's `attn_implementation`: "eager", "sdpa", ...; None: as the model has it
    dtype      what the weights are cast to; None: as the model has it (a stock one: float32)
    autocast   "bfloat16" or "float16": the run is inside `torch.autocast` of that type
    step       the optimiser step, `torch_step.Step`; None: clip_grad_norm_ and torch.optim.AdamW. In half precision
               it works on float32 copies of the weights, as trainers do

    Raises `InputError` for a model that isn't built like Hugging Face's, `BackendUnavailable` without the library.
    """

    live = True

    def __init__(
        self,
        model: Any = None,
        *,
        attention: str | None = None,
        dtype: str | None = None,
        autocast: str | None = None,
        step: Any = None,
    ) -> None:
        if autocast not in (None, "bfloat16", "float16"):
            raise InputError(f"transformers: autocast {autocast!r}; it must be bfloat16 or float16")
        if dtype not in (None, *DTYPES):
            raise InputError(f"transformers: no dtype {dtype!r}; there are {', '.join(DTYPES)}")
        self._model, self._build, about, self._missing = _model_of(model, attention)
        own = "float32" if self._model is None else _dtype_name(next(self._model.parameters()))
        self._autocast, self._step, self._dtype = autocast, step, dtype or own
        self.precision: str | None = f"mixed-{autocast}" if autocast else self._dtype
        self.name = f"transformers:{about}dtype={self.precision}"

    def weights(self) -> Weights | None:
        """The architecture of a model that was given; it takes any weights."""
        if self._model is None:
            return None
        from . import torch_model

        config, numerics = torch_model.architecture(self._model)
        heads, objective = torch_model.heads_of(self._model)
        return Weights(
            config, numerics, None, heads, torch_model.num_labels(self._model), objective, torch_model.tied(self._model)
        )

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """Every probe that hooks can see, gradients if it has the case's head, and one update if torch has it."""
        from . import torch_model, torch_run

        try:
            model = self._model if self._build is None else self._build(case)
            with torch_model.with_weights(model, case.params, self._dtype) as owners:
                answers = torch_run.TorchRun(model, owners, case, wanted, self._autocast, self._step).answers()
            notes = () if self._model is None else torch_model.config_notes(self._model)
            return self._held(replace(answers, notes=(*notes, *answers.notes)), case)
        except BertrefError:
            raise
        except SystemExit as error:
            raise InputError(f"{self.name}: the subject ended the program (SystemExit {error.code or 0})") from error
        except Exception as error:  # the subject's own code: whatever it raises is its failure to run
            first = (str(error) or "no message").splitlines()[0]
            raise InputError(f"{self.name} failed: {type(error).__name__}: {first}") from error

    def _held(self, answers: Answers, case: Case) -> Answers:
        """The answers without those that are made from weights which the folder lacks."""
        from . import torch_model

        made = torch_model.made_from(case, self._missing)
        if not made:
            return answers
        leave = {*made, *(f"grad:{name}" for name in (*made, *self._missing)), *(f"update:{n}" for n in self._missing)}
        values = {name: value for name, value in answers.values.items() if name not in leave}
        modules = ", ".join(sorted({name.rpartition(".")[0] for name in self._missing}))
        note = f"the folder holds no weights of {modules}; not judged, with their gradients: {', '.join(made)}"
        return Answers(values, (*answers.notes, note))


def is_huggingface(model: Any) -> bool:
    """Whether a torch module is a BERT of Hugging Face's build."""
    from . import torch_model

    try:
        torch_model.parts(model)
    except InputError:
        return False
    return hasattr(model, "config")


def _model_of(model: Any, attention: str | None) -> tuple[Any, Builder | None, str, frozenset[str]]:
    """The model object or the function that makes one for a case, the words for it, and the parameters that its folder
    lacks."""
    from . import torch_model  # first of all: it says what to install

    torch_model.transformers()
    import torch

    if model is None:
        kind = attention or "eager"
        return None, lambda case: torch_model.stock_for(case, kind), f"attention={kind},", frozenset()
    if isinstance(model, str | Path):
        loaded, missing = torch_model.folder(str(model), attention)
        return loaded, None, f"{model},", missing
    if isinstance(model, torch.nn.Module):
        torch_model.parts(model)
        own = getattr(getattr(model, "config", None), "_attn_implementation", None)
        if attention not in (None, own):
            raise InputError(
                f"transformers: the model's attention is {own!r}; build it with attn_implementation={attention!r}"
            )
        return model, None, f"{type(model).__name__},", frozenset()
    if callable(model):
        return None, model, f"{getattr(model, '__name__', type(model).__name__)},", frozenset()
    raise InputError(f"transformers: {type(model).__name__} is not a model, a folder or a function")


def _dtype_name(parameter: Any) -> str:
    return str(parameter.dtype).removeprefix("torch.")
