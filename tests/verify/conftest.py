"""Verification's tests keep noise floors in a folder of their own: they neither find nor leave any elsewhere."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTREF_CACHE", str(tmp_path_factory.mktemp("noise-floors")))
        yield
