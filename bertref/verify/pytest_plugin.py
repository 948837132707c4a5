"""For pytest users: the fixture `bertref_verify`. pytest finds it by itself once bertref is installed.

    def test_my_bert(bertref_verify):
        bertref_verify(my_model)                          # everything, a generated case
        bertref_verify("onnx:model.onnx", seed=3)         # whatever `bertref verify` takes
        bertref_verify(forward_function, only="forward", size="small")

Nothing of bertref is imported before a test asks for the fixture.
"""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture  # type: ignore[untyped-decorator]
def bertref_verify(record_property: Callable[[str, Any], None]) -> Callable[..., Any]:
    """`bertref.verify.assert_matches`; verdict, case and first wrong tensor become properties in JUnit's XML."""
    from .checking import check
    from .report.words import explain

    def verify(subject: Any, case: Any = None, **options: Any) -> Any:
        __tracebackhide__ = True
        report = check(subject, case, **options)
        for name in ("subject", "precision", "verdict", "first"):
            record_property(f"bertref_{name}", getattr(report, name))
        record_property("bertref_case", report.case["name"])
        if report.verdict != "right":
            pytest.fail(explain(report), pytrace=False)
        return report

    return verify
