"""Any Python object: `python:PACKAGE.MODULE:FACTORY`, or `PythonSubject(object)` from Python.

The simplest subject is a function that takes a case and gives a dict of what it computed, under canonical names:

    def forward(case):
        ...
        return {"layer.0.output": x, "pooled": pooled, "loss.total": loss}

Gradients of loss.total, by parameter or probe, and new minus old parameters after one optimiser step stand in the same
dict, all from the same run:

    (loss, seen), grads = value_and_grad(...)
    return seen | {"grad:" + name: grad for name, grad in grads.items()}

Then every gradient is judged by the values that it was made from. Where they come from calls of their own, a subject is
an object with a method for each, of which only the first is needed. Two runs may round otherwise, as a compiled and a
plain one do, so that gradients are judged less closely: as those of one implementation from the values of another.

    forward(case)      probes, "layer.0.output", ..., and whatever else the same run made
    gradients(case)    "grad:" before the name may be left out
    update(case)       "update:" may be left out
    precision          an attribute: "float64", "float32" (if absent), "tf32", "bfloat16", "float16",
                       "mixed-bfloat16", "mixed-float16"
    name               an attribute: what reports call it
    head               an attribute: the head that it is asked about unless the user names another; with it `labels`
                       and `choices`, the numbers of them

FACTORY makes it: a class, a function without arguments, or the function that takes the case itself. A factory may
also give a transformers model, which gets the hooks of `TransformersSubject`. As when Python runs a file, what lies in
the folder of FILE.py can be imported by it. A subject that ends the program (`sys.exit`) is one that could not run.

The case is a dict of plain values and fresh NumPy arrays:

    config      Hugging Face's keys: num_hidden_layers, num_attention_heads, hidden_act, layer_norm_eps, ...
    numerics    the dialect: gelu ("erf" or "tanh"), mask_value, ...
    params      name -> array, float64 for the precision "float64", else float32; dense weights are (out, in)
    batch       input_ids, attention_mask, token_type_ids (B, S); masked_lm_positions, masked_lm_ids,
                masked_lm_weights (B, P); next_sentence_label (B)
    head        "pretraining", or another of `bertref.verify.cases.targets.HEADS`
    targets     labels of other heads, or the gradients that are given for outputs, as that module describes them
    optimizer   None, or kind, beta1, beta2, epsilon, weight_decay, decayed (names), rate, step (from 1), clip_norm,
                clip_epsilon, and moments: NAME/m and NAME/v
    wanted      None for everything, or the names that will be looked at

A function or an object may also have an attribute `answer_step(case, name, inputs)`, which does one step from given
inputs (`check(..., feed=True)`, `--feed`), where a run shows too little to tell which step is wrong. It gives a dict,
empty for a step that it doesn't know. `bertref.verify.graph.steps` lists the steps and what goes into them:

    def answer_step(case, name, inputs):
        layer, _, last = name.rpartition(".")
        if name.startswith("grad:") or last != "ffn_act":
            return {}
        return {name: gelu(inputs[layer + ".ffn_pre"])}

    forward.answer_step = answer_step

Answers may be arrays of any library (torch, JAX, CuPy, ...); bfloat16 is read exactly. MLM values may be given for
all positions (B, S, ...) instead of the predicted ones (B, P, ...).
"""

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import config_to_dict, numerics_to_dict
from ...errors import BertrefError, InputError
from ..judgement.reference import answer_names
from ..records import PRECISIONS, TWO_RUNS, Answers, Arrays, Case
from ..subject import Subject
from .arrays import canonical, to_numpy

OWN_FAILURES = (Exception, SystemExit)
"""Whatever the subject's own code raises is its failure to run; only an interrupt is the user's."""
METHODS = {"forward": "", "gradients": "grad:", "update": "update:"}
"""A method -> what the names of its answers begin with."""


def case_dict(case: Case, precision: str | None = None, wanted: Collection[str] | None = None) -> dict[str, Any]:
    """The case as the module's docstring describes it; nothing in it is shared with `case`."""
    dtype = np.float64 if precision == "float64" else np.float32
    step = case.optimizer
    config = config_to_dict(case.config, case.numerics)
    del config["bertref_numerics"]
    optimizer: dict[str, Any] | None = None
    if step is not None:
        optimizer = {
            **asdict(step.optimizer),
            "decayed": [name for name in case.params if step.optimizer.decays(name)],
            "rate": step.rate,
            "step": step.step,
            "clip_norm": step.clip_norm,
            "clip_epsilon": step.clip_epsilon,
            "moments": {name: array.astype(dtype) for name, array in step.moments.items()},
        }
    return {
        "config": config,
        "numerics": numerics_to_dict(case.numerics),
        "params": {name: array.astype(dtype) for name, array in case.params.items()},
        "batch": {name: array.copy() for name, array in case.batch.items()},
        "head": case.objective,
        "targets": {name: _as_asked(array, dtype) for name, array in case.targets.items()},
        "optimizer": optimizer,
        "wanted": None if wanted is None else sorted(wanted),
    }


def _as_asked(array: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """A copy; numbers that aren't whole in the type of the parameters."""
    return array.astype(dtype if array.dtype.kind == "f" else array.dtype)


class PythonSubject:
    """A function of a case, or an object with some of `METHODS`. Raises `InputError` for anything else.

    It has a method `answer_step` (`ComputesOps`) if the function or object has."""

    live = True

    def __init__(self, implementation: Any, *, name: str | None = None, precision: str | None = None) -> None:
        self._parts: dict[str, Callable[[dict[str, Any]], Any]] = {
            method: getattr(implementation, method)
            for method in METHODS
            if callable(getattr(implementation, method, None))
        }
        if not self._parts and callable(implementation):
            self._parts = {"forward": implementation}
        about = name or getattr(implementation, "name", None) or getattr(implementation, "__name__", None)
        self.name = str(about or type(implementation).__name__)
        if not self._parts:
            raise InputError(
                f"{self.name} ({type(implementation).__name__}) is not a function and has no method forward(case); "
                "see the module bertref.verify.subjects.python for what is asked of it"
            )
        self.precision: str | None = precision or getattr(implementation, "precision", None) or "float32"
        if self.precision not in PRECISIONS:
            raise InputError(f"{self.name}: precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}")
        about_case = {name: getattr(implementation, name, None) for name in ("head", "labels", "choices")}
        self.prefers = {name: value for name, value in about_case.items() if value is not None}
        step = getattr(implementation, "answer_step", None)
        if callable(step):
            self._step: Callable[[dict[str, Any], str, Arrays], Any] = step
            self._fed: tuple[Case, dict[str, Any]] | None = None
            self.answer_step = self._answer_step

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """Everything that the methods return. Raises `InputError` where one fails, gives no dict, a name that does not
        exist or something that is not an array."""
        known = answer_names(case)
        values: Arrays = {}
        apart, notes = set(), []
        for method, prefix in METHODS.items():
            if method in self._parts and _needed(prefix, wanted):
                found = self._named(method, prefix, known, case, wanted)
                if found and values and prefix:
                    apart.add(prefix.rstrip(":"))
                values |= found
            elif (
                method not in self._parts
                and len(self._parts) > 1
                and not any(name.startswith(prefix) for name in values)
            ):
                notes.append(f"{self.name} has no method {method}(case)")
        notes += [TWO_RUNS[part] for part in sorted(apart)]
        return Answers(values, tuple(notes), apart=frozenset(apart))

    def _named(self, method: str, prefix: str, known: list[str], case: Case, wanted: Collection[str] | None) -> Arrays:
        """What a method gave, by full names."""
        found: Arrays = {}
        for name, value in self._run(method, case, wanted).items():
            full = _full_name(str(name), prefix, known, f"{self.name}: {method}(case)")
            if value is not None and (wanted is None or full in wanted):
                found[full] = canonical(full, to_numpy(value, f"{self.name}: {full}"), case)
        return found

    def _answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
        """What the subject makes of these inputs. All steps of a case get the same dict of it."""
        if self._fed is None or self._fed[0] is not case:
            self._fed = (case, case_dict(case, self.precision))
        found = self._call(f"answer_step(case, {name!r}, inputs)", self._step, self._fed[1], name, inputs)
        return {
            str(one): canonical(str(one), to_numpy(value, f"{self.name}: {one}"), case)
            for one, value in found.items()
            if value is not None
        }

    def _run(self, method: str, case: Case, wanted: Collection[str] | None) -> Mapping[Any, Any]:
        return self._call(f"{method}(case)", self._parts[method], case_dict(case, self.precision, wanted))

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Mapping[Any, Any]:
        try:
            found = function(*arguments)
        except BertrefError:
            raise
        except OWN_FAILURES as error:
            raise InputError(f"{self.name}: {what} failed: {_describe(error)}") from error
        if not isinstance(found, Mapping):
            raise InputError(f"{self.name}: {what} gave {type(found).__name__}; a dict name -> array is needed")
        return found


def _needed(prefix: str, wanted: Collection[str] | None) -> bool:
    """Whether a method is worth calling; forward may answer anything, so it always is."""
    return wanted is None or not prefix or any(name.startswith(prefix) for name in wanted)


def _full_name(name: str, prefix: str, known: list[str], where: str) -> str:
    if name in known and name.startswith(prefix):
        return name
    if prefix + name in known:
        return prefix + name
    near = difflib.get_close_matches(prefix + name, known, 1, 0.0)[0]
    raise InputError(f"{where} gave {name!r}, which is not the name of an answer; is it {near!r}?")


def _describe(error: BaseException) -> str:
    """The error's first line, and the line of the code that raised it."""
    if isinstance(error, SystemExit):
        first = f"the subject ended the program (SystemExit {error.code or 0})"
    else:
        first = f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{first}{place}"


# ---------------------------------------------------------------------------------------------------------------------
# by name


def import_subject(target: str) -> Subject:
    """The subject that PACKAGE.MODULE:FACTORY or FILE.py:FACTORY names; modules are looked for in the current folder,
    too. Raises `InputError` if it can't be imported or made."""
    module_name, colon, attribute = target.rpartition(":")
    if not colon or not module_name or not attribute:
        raise InputError(f"python:{target} names no factory; write python:PACKAGE.MODULE:FACTORY")
    module = _import(module_name)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in vars(module) if not name.startswith("_")]
            near = difflib.get_close_matches(part, public, 1)
            raise InputError(f"python:{target}: {module_name} has no {part}" + (f"; is it {near[0]}?" if near else ""))
        found = getattr(found, part)
    return wrap(_made(found, target), f"python:{target}")


def wrap(thing: Any, name: str | None) -> Subject:
    """A subject as it is; hooks on a model of Hugging Face's build; the protocol of this module on anything else.

    Raises `InputError` for any other torch module, unless its `forward` takes a case."""
    if hasattr(thing, "answer") and hasattr(thing, "live"):
        subject: Subject = thing
        return subject
    if not hasattr(thing, "named_parameters") or _takes_a_case(thing.forward):
        return PythonSubject(thing, name=name)
    from .transformers import TransformersSubject, is_huggingface

    if not is_huggingface(thing):
        raise InputError(NOT_HUGGINGFACE.format(name=name or "verify", kind=type(thing).__name__))
    return TransformersSubject(thing)


NOT_HUGGINGFACE = (
    "{name}: {kind} is a torch module, but not of Hugging Face's build (bert.embeddings, bert.encoder.layer), so it "
    "isn't known where its tensors are; put its weights into a transformers model and give TransformersSubject(model), "
    'or give an object with forward(case) that runs it and returns {{"layer.0.output": ..., "pooled": ...}}'
)
"""What is said of a torch module that is no subject."""


def _takes_a_case(function: Any) -> bool:
    """Whether it is written for the protocol: its first parameter is called so."""
    return next(iter(inspect.signature(function).parameters), None) == "case"


def _import(module_name: str) -> ModuleType:
    try:
        if module_name.endswith(".py"):
            return _import_file(Path(module_name))
        if "" not in sys.path:
            _look_in(Path.cwd())
        return importlib.import_module(module_name)
    except BertrefError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise InputError(
                f"python:{module_name}: no such module; it is looked for in {Path.cwd()} and where Python looks"
            ) from None
        raise InputError(f"python:{module_name} needs the module {error.name}, which is not installed") from error
    except OWN_FAILURES as error:
        raise InputError(f"python:{module_name} can't be imported: {_describe(error)}") from error


def _look_in(folder: Path) -> None:
    """Has modules of a folder found from now on: a function may import them when it runs."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"python:{path}: no such file")
    _look_in(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _made(found: Any, target: str) -> Any:
    """What a factory gives, or the thing itself if it isn't one."""
    if not callable(found) or not (inspect.isclass(found) or inspect.isroutine(found)):
        return found
    try:
        inspect.signature(found).bind()
    except ValueError:  # written in C: it doesn't say what it takes
        return found
    except TypeError:
        if inspect.isclass(found):
            raise InputError(
                f"python:{target} is a class that needs arguments; write a function that makes it"
            ) from None
        return found
    try:
        return found()
    except OWN_FAILURES as error:
        raise InputError(f"python:{target}() failed: {_describe(error)}") from error
