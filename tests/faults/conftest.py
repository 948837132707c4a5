"""Every test of this room is marked `fault`, and asks the bertref that PYTHONPATH names, in processes as well."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent

if "PYTHONPATH" in os.environ:  # a process that runs in another folder must find the same bertref
    os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in os.environ["PYTHONPATH"].split(os.pathsep))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.fault)
