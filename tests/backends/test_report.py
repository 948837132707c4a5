"""The report of `bertref doctor`: true, complete, JSON, and alive when a library is not."""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from bertref import backends
from bertref.backends import probe, registry, report
from bertref.backends.numpy.blas import mkl, openblas


@pytest.fixture(scope="module")
def found() -> dict:
    return report.report()


def test_it_is_json_and_has_every_section(found: dict) -> None:
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"versions", "cpu", "blas", "backends", "extras"}
    assert set(found["extras"]) == set(report.EXTRAS)


def test_versions_and_cpu_are_those_of_this_process(found: dict) -> None:
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert 1 <= found["cpu"]["usable"] <= found["cpu"]["cores"]


def test_every_backend_has_a_verdict(found: dict) -> None:
    assert set(found["backends"]) == set(backends.names())
    for name, entry in found["backends"].items():
        assert entry["usable"] == bool(entry["devices"])
        assert entry["usable"] or entry["unusable"] or entry["install"], name
    assert found["backends"]["numpy"] == {"installed": True, "version": np.__version__, "devices": {"numpy": "CPU"},
                                          "unusable": {}, "usable": True}  # fmt: skip


def test_torchs_devices_are_told_apart(found: dict) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    entry = found["backends"]["torch"]
    assert entry["version"] == torch.__version__
    assert entry["devices"]["torch:cpu"] == "CPU"
    assert ("torch:cuda" in entry["unusable"]) != torch.cuda.is_available()


def test_what_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_third_party", dict)
    monkeypatch.setattr("importlib.util.find_spec", lambda library: None)
    for name, entry in probe.probe_all().items():
        assert entry == {"installed": False, "version": None, "devices": {}, "unusable": {}, "usable": False,
                         "install": registry.BUILT_IN[name].remedy}  # fmt: skip


@pytest.mark.parametrize(("torch", "cause"), [
    ("raise OSError('libtorch_cpu.so: no such file')", "installed but broken: OSError: libtorch_cpu.so: no such file"),
    ("import os; os.abort()", "the process that tried it ended with code"),
    ("import time; time.sleep(60)", "no answer within 3 s"),
])  # fmt: skip
def test_broken_libraries_do_not_take_the_report_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: str, cause: str
) -> None:
    (tmp_path / "torch.py").write_text(torch, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(probe, "TIMEOUT", 3.0)
    entry = probe._answer("torch", probe._start("torch"))
    assert cause in next(iter(entry["unusable"].values()))
    assert not entry.get("devices")


def test_openblas_is_asked_for_its_kernel(found: dict) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    folder = Path(np.__file__).parent
    loaded = [pool for pool in threadpoolctl.threadpool_info()
              if pool["internal_api"] == "openblas" and Path(pool["filepath"]).parent.name in ("numpy.libs", ".dylibs")
              and folder.parent in Path(pool["filepath"]).parents]  # fmt: skip
    if not loaded:
        pytest.skip("NumPy's wheel brought no OpenBLAS here")
    assert found["blas"]["kernel"] == loaded[0]["architecture"]
    assert found["blas"]["threads"] == loaded[0]["num_threads"]


@pytest.mark.parametrize(("kernel", "avx512", "advised"), [
    ("Haswell", True, True), ("Zen", True, True), ("Haswell", False, False), ("SkylakeX", True, False),
])  # fmt: skip
def test_a_narrow_kernel_on_a_wide_cpu_brings_advice(
    monkeypatch: pytest.MonkeyPatch, kernel: str, avx512: bool, advised: bool
) -> None:
    monkeypatch.setattr(openblas, "library", object)
    monkeypatch.setattr(openblas, "core", lambda: kernel)
    monkeypatch.setattr(openblas, "threads", lambda: 2)
    monkeypatch.setattr(report, "_has_avx512", lambda: avx512)
    assert ("OPENBLAS_CORETYPE=SkylakeX" in report.blas().get("advice", "")) == advised


@pytest.mark.parametrize("shared", [True, False])
def test_products_on_one_thread_are_said(monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    """Beside what else there is to say."""
    monkeypatch.setattr(mkl, "problem", lambda: "")
    monkeypatch.setattr(mkl, "version", lambda: "2026.2")
    monkeypatch.setattr(mkl, "shares_products", lambda: shared)
    monkeypatch.setattr(openblas, "library", object)
    monkeypatch.setattr(openblas, "core", lambda: "Zen")
    monkeypatch.setattr(openblas, "threads", lambda: 2)
    monkeypatch.setattr(report, "_has_avx512", lambda: True)
    found = report.blas()
    assert found["products"] == "MKL 2026.2"
    assert found["advice"] == ("" if shared else f"{report.ONE_THREAD}; ") + report.NARROW


@pytest.mark.parametrize(("said", "advice"), [
    ("", "on this processor MKL is faster, but MKL is not installed: pip install 'bertref[mkl]'"),
    ("on", "BERTREF_MKL=on, but MKL is not installed: pip install 'bertref[mkl]'"),
])  # fmt: skip
def test_what_keeps_mkl_from_being_used_is_said(monkeypatch: pytest.MonkeyPatch, said: str, advice: str) -> None:
    monkeypatch.setenv(mkl.VARIABLE, said)
    monkeypatch.setattr(mkl, "first_processor", lambda: {"vendor_id": "GenuineIntel"})
    monkeypatch.setattr(mkl, "path", lambda: None)
    monkeypatch.setattr(openblas, "library", lambda: None)
    mkl._decided.cache_clear()
    try:
        found = report.blas()
    finally:
        mkl._decided.cache_clear()
    assert found["advice"] == advice
    assert found["products"] == found["name"]
