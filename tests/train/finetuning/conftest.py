"""Features are cached where nobody else looks."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTREF_CACHE", str(tmp_path / "cache"))
