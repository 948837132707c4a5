"""What `golden` draws: cases that were written, and the goldens."""

from typing import Any

from rich.table import Table
from rich.text import Text

from .render import out


def _table(*, header: bool = False) -> Table:
    return Table(box=None, show_header=header, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))


def exported(found: dict[str, Any]) -> None:
    """Where the case is, its files by size, and what to do with it."""
    out.print(f"{found['name']}: case {found['case']} in {found['folder']}", markup=False, style="bold")
    table = _table()
    sizes: dict[str, list[int]] = {}
    for file, size in found["files"].items():
        folder, slash, _ = file.partition("/")
        sizes.setdefault(folder + slash, []).append(size)
    for name, group in sizes.items():
        many = f"{len(group)} files" if name.endswith("/") else ""
        table.add_row(Text(name), f"{sum(group):,} bytes", many)
    out.print(table)
    out.print("Have your program read it and write its answers into ANSWERS, then: bertref verify dump:ANSWERS",
              markup=False)  # fmt: skip


def listed(entries: list[dict[str, Any]]) -> None:
    """A line a golden: the command that makes it, and its oracle's libraries."""
    table = _table(header=True)
    table.add_column("golden", no_wrap=True)
    table.add_column("made again by", no_wrap=True)
    table.add_column("oracle")
    for entry in entries:
        table.add_row(Text(entry["name"]), Text(entry["command"]), Text(_oracle(entry["oracle"])))
    out.print(table)


def _oracle(oracle: dict[str, str]) -> str:
    libraries = [f"{name} {version}" for name, version in oracle.items() if name != "method"]
    return ", ".join(libraries) or oracle.get("method", "")


def shown(found: dict[str, Any]) -> None:
    """Everything about one golden."""
    out.print(found["name"], markup=False, style="bold")
    table = _table()
    rows = {"file": found["path"], "sha256": found["sha256"], "made again by": found["command"],
            **{f"oracle: {key}": value for key, value in found["oracle"].items()}}  # fmt: skip
    for dtype, tolerance in found["tolerances"].items():
        rows[f"tolerance in {dtype}"] = f"{tolerance['relative']:g} of the largest: {tolerance['reason']}"
    for key, value in rows.items():
        table.add_row(Text(key), Text(value, overflow="fold"))
    out.print(table)
    arrays = _table()
    for name, array in found.get("arrays", {}).items():
        arrays.add_row(Text(name), array["dtype"], " x ".join(map(str, array["shape"])))
    for name in found.get("content", []):
        arrays.add_row(Text(name))
    out.print(arrays)


def checked(results: list[dict[str, Any]]) -> None:
    """What is wrong, and how many goldens are right."""
    for result in results:
        if not result["right"]:
            out.print(Text("WRONG ", "bold red").append(result["problem"], "default"))
    right = sum(result["right"] for result in results)
    out.print(f"{right} of {len(results)} goldens are as the manifest says", markup=False)
