"""What can be verified, by the words with which a user names it.

    numpy, torch, torch:cuda, cupy, ...     bertref's own backends; options dtype, kernels=on|off
    transformers                            a stock Hugging Face model; options attention, dtype, autocast
    transformers:FOLDER                     the model of a Hugging Face folder, the same options
    onnx:FILE                               an ONNX file, run by onnxruntime
    python:PACKAGE.MODULE:FACTORY           any Python object; see `python`
    dump:FOLDER                             answers that another program has written
    cmd:COMMAND                             a command that reads a case and writes its answers

Options follow a colon, separated by commas: `torch:cuda:dtype=bfloat16,kernels=off`.
"""

import re
from collections.abc import Callable
from typing import Any

from ...errors import InputError
from ..subject import Subject

FORMS = ("numpy", "torch", "torch:cuda", "cupy", "transformers", "transformers:FOLDER", "onnx:FILE",
         "python:MODULE:FACTORY", "dump:FOLDER", "cmd:COMMAND")  # fmt: skip
BACKEND_OPTIONS = {
    "dtype": ("float64", "float32", "bfloat16", "float16", "mixed-bfloat16", "mixed-float16"),
    "kernels": ("on", "off"),
}
TRANSFORMERS_OPTIONS = {
    "attention": None,
    "dtype": ("float64", "float32", "bfloat16", "float16"),
    "autocast": ("bfloat16", "float16"),
}
OPTIONED = r"(^|:)\w+=[^:/\\]*$"
"""Where options stand behind a name."""

Choices = dict[str, Any]
"""Option -> its values, None for any."""


def parse(spec: str, *, dtype: str | None = None, mapping: str | None = None, model: str | None = None) -> Subject:
    """The subject that `spec` names. `dtype` is that option of a backend or of transformers, `mapping` the file that
    says how a dump's or a command's answers are named and laid out, `model` the folder that an ONNX file came from.

    Raises `InputError` for a name, an option or a target that doesn't exist, and for a keyword that the subject has no
    use for; `BackendUnavailable` where a library or a device is missing.
    """
    kind, _, rest = spec.partition(":")
    target = kind in _WITH_TARGET
    for name, value, usable in (
        ("a dtype", dtype, not target), ("a mapping", mapping, kind in ("dump", "cmd")),
        ("a model", model, kind == "onnx"),
    ):  # fmt: skip
        if value is not None and not usable:
            raise InputError(f"{spec!r}: {name} ({value}) can't be chosen for it; leave it out")
    if dtype is not None:
        spec = f"{spec},dtype={dtype}" if re.search(OPTIONED, spec) else f"{spec}:dtype={dtype}"
        rest = spec.partition(":")[2]
    if target:
        if not rest.strip():
            form = next(form for form in FORMS if form.startswith(f"{kind}:"))
            raise InputError(f"{spec!r} names nothing to verify; write {form}")
        given = {"mapping": mapping, "model": model}
        return _WITH_TARGET[kind](rest, **{name: value for name, value in given.items() if value is not None})
    if kind == "transformers":
        return _transformers(spec, rest)
    return _backend(spec)


def _backend(spec: str) -> Subject:
    from ...backends import names

    kind, _, rest = spec.partition(":")
    if kind not in names():
        raise InputError(f"{spec!r} can't be verified; there are {', '.join(dict.fromkeys((*names(), *FORMS)))}")
    device, options = _options(spec, rest, BACKEND_OPTIONS)
    from .backend import BackendSubject

    return BackendSubject(
        f"{kind}:{device}" if device else kind,
        dtype=options.get("dtype", "float32"),
        kernels=options.get("kernels", "on") == "on",
    )


def _transformers(spec: str, rest: str) -> Subject:
    folder, options = _options(spec, rest, TRANSFORMERS_OPTIONS)
    from .transformers import TransformersSubject

    return TransformersSubject(folder or None, **options)


def _onnx(path: str, **options: str) -> Subject:
    from .onnx import OnnxSubject

    return OnnxSubject(path, **options)


def _python(target: str) -> Subject:
    from .python import import_subject

    return import_subject(target)


def _dump(path: str, **options: str) -> Subject:
    from .dump import DumpSubject

    return DumpSubject(path, **options)


def _command(command: str, **options: str) -> Subject:
    from .command import CommandSubject

    return CommandSubject(command, mapping=options.get("mapping"))


_WITH_TARGET: dict[str, Callable[..., Subject]] = {
    "onnx": _onnx,
    "python": _python,
    "dump": _dump,
    "cmd": _command,
}
"""What is named by a target, in which colons, commas and equals signs mean nothing."""


def _options(spec: str, rest: str, known: Choices) -> tuple[str, dict[str, str]]:
    """What stands before the options (a device, a folder), and the options."""
    before, found = rest, ""
    if re.search(OPTIONED, rest):
        before, _, found = rest.rpartition(":")
    options: dict[str, str] = {}
    for item in filter(None, found.split(",")):
        key, _, value = item.partition("=")
        if key not in known:
            raise InputError(f"{spec!r}: no option {key!r}; there are {', '.join(known)}")
        allowed = known[key]
        if not value or (allowed is not None and value not in allowed):
            choices = ", ".join(allowed or ("a name",))
            raise InputError(f"{spec!r}: {key} is {value!r}; it must be one of {choices}")
        options[key] = value
    return before, options


__all__ = ["FORMS", "parse"]
