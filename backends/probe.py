"""Tries the backends, each in a process of its own: a broken library may crash or hang.

python -m bertref.backends.probe torch          prints what it found as one line of JSON
"""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

from . import gpus
from .registry import BUILT_IN, get, names

TIMEOUT = 60.0
"""Seconds; importing torch from a cold disk takes ten."""

DEVICES = {"torch": ("torch:cpu", "torch:cuda", "torch:xla")}
"""The devices to try where the default one says too little."""


def probe(name: str) -> dict[str, Any]:
    """Use the backend, in this process: its library's version, the devices that compute, why others don't, and the
    libraries of CUDA that it has."""
    found: dict[str, Any] = {"version": _version(name), "devices": {}, "unusable": {}}
    for spec in DEVICES.get(name, (name,)):
        try:
            backend = get(spec)
        except Exception as error:
            found["unusable"][spec] = str(error).partition(": ")[2] or str(error)
        else:
            found["devices"].update(_device_names(backend.spec))
    return found | ({"libraries": libraries} if (libraries := _libraries(name)) else {})


def _libraries(name: str) -> dict[str, str]:
    """CUDA's, and what connects processes."""
    ask = {"torch": gpus.of_torch, "cupy": gpus.of_cupy}.get(name)
    if ask is None:
        return {}
    try:
        return ask(importlib.import_module(name))
    except Exception:
        return {}  # the library is broken, which `get` has said


def _version(name: str) -> str | None:
    if name not in BUILT_IN:
        return None
    try:
        return str(importlib.import_module(BUILT_IN[name].library).__version__)
    except Exception:
        return None  # `get` says why


def _device_names(spec: str) -> dict[str, str]:
    """Every device of the kind, with the name that the hardware gives itself."""
    if spec == "torch:cuda":
        import torch

        each = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        return {f"{spec}:{i}": gpus.described(p.name, p.total_memory, (p.major, p.minor)) for i, p in enumerate(each)}
    if spec == "cupy":
        cupy = importlib.import_module(f"{__package__}.cupy.backend")
        return {f"{spec}:{i}": name for i, name in enumerate(cupy.devices())}
    return {spec: "accelerator" if "xla" in spec else "CPU"}


def probe_all() -> dict[str, dict[str, Any]]:
    """Every known backend -> what `probe` says; whether it is installed and usable; how to install it."""
    installed = {name: name not in BUILT_IN or importlib.util.find_spec(BUILT_IN[name].library) is not None
                 for name in names()}  # fmt: skip
    started = {name: _start(name) for name in names() if installed[name]}
    found: dict[str, dict[str, Any]] = {}
    for name in names():
        entry: dict[str, Any] = {"installed": installed[name], "version": None, "devices": {}, "unusable": {}}
        if name in started:
            entry.update(_answer(name, started[name]))
        else:
            entry["install"] = BUILT_IN[name].remedy
        found[name] = {**entry, "usable": bool(entry["devices"])}
    return found


def _start(name: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-m", "bertref.backends.probe", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    )


def _answer(name: str, process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What the process found, or why it could not say."""
    try:
        output, errors = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"unusable": {name: f"no answer within {TIMEOUT:.0f} s"}}
    if process.returncode == 0 and output.strip():
        answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return answer
    last = (errors.strip().splitlines() or ["no message"])[-1]
    return {"unusable": {name: f"the process that tried it ended with code {process.returncode}: {last}"}}


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1])))
