"""What `bench` draws: the sides of a race, their ratio, roofline and memory, and the picture of many races."""

from typing import Any

from rich.table import Table

from ..errors import InputError
from .render import drawn, message, out

MB = 1 << 20


def result(found: dict[str, Any]) -> None:
    """A race for a person."""
    machine = found["machine"]
    out.print(f"{found['command']}: {_work(found)}", markup=False, style="bold")
    out.print(f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores", markup=False, style="dim")
    if (machine["load"] or 0) > machine["cores"]:
        message(f"The machine is busy (load {machine['load']:.1f} on {machine['cores']} cores): expect a wide spread.")
    if "ops" in found:
        _ops(found["ops"], found["peer"])
    _sides(found)
    if found["ratio"]:
        ratio, agreed = found["ratio"], found["agreement"]
        who = f"{found['ours']['name']} are" if found["command"] == "parallel" else "ours is"
        out.print(
            f"{who} {ratio['median']:.2f} times as fast ({ratio['min']:.2f} to {ratio['max']:.2f} in "
            f"{len(found['ours']['times'])} rounds)", markup=False, style="bold",
        )  # fmt: skip
        out.print(
            f"before: {agreed['figures']} figures of both sides agree within {agreed['difference']:.1e} "
            f"(at most {agreed['limit']:g})", markup=False,
        )  # fmt: skip
    if found["roofline"]:
        _roofline(found["roofline"])
    if found["memory"]:
        _memory(found["memory"])


def _work(found: dict[str, Any]) -> str:
    given = found["input"]
    if "config" not in given:
        return f"{', '.join(given['corpus']) if isinstance(given['corpus'], list) else given['corpus']}"
    shape = f"{given['batch_size']} x {given['seq_len']}"
    if given["ragged"]:
        spread = f"{given['shortest']} to {given['longest']} tokens ({given['ragged']})"
        shape = f"{given['sequences']:,} sequences of {spread}, {given['batch_size']} at a time"
    extra = f", {given['masked_positions']} masked" if given["masked_positions"] else ""
    task = f"{given['task']}, " if given["task"] else ""
    return f"{given['config']}, {task}{shape}{extra}, dropout {given['dropout']:g}"


def _sides(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for name in ("median", "fastest", "slowest", "tokens/s"):
        table.add_column(name, justify="right")
    table.add_column("")
    for side in (found["ours"], found["peer"]):
        if side:
            seconds = [_seconds(side["seconds"][name]) for name in ("median", "min", "max")]
            rate = side.get("tokens_per_second")
            table.add_row(side["name"], *seconds, f"{rate:,.0f}" if rate else "", _about(side))
    out.print(table)


def _about(side: dict[str, Any]) -> str:
    """What was chosen of a library: its version and variant."""
    chosen = [side["version"]]
    chosen += [f"torch {side['torch']}"] if "torch" in side else []
    chosen += [str(side[name]) for name in ("attention", "optimizer", "file", "call", "tokenizer") if name in side]
    if "kernels" in side:
        chosen.append(f"{side['backend']}, {len(side['kernels'])} kernels")
    chosen += [side["dtype"]] if side.get("dtype", "float32") != "float32" else []
    chosen += [side["device"]] if "device" in side else []
    return ", ".join(chosen)


def _ops(rows: list[dict[str, Any]], peer: dict[str, Any] | None) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("forward and backward")
    for name in ("ours", *((peer["name"], "ratio", "spread") if peer else ())):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [row["op"], _seconds(row["ours"]["median"])]
        if peer:
            median, low, high = (f"{row['ratio'][name]:.2f}" for name in ("median", "min", "max"))
            cells += [_seconds(row["peer"]["median"]), median, f"{low}-{high}"]
        table.add_row(*cells)
    out.print(table)


def _roofline(roof: dict[str, Any]) -> None:
    speed = f"product speed: {roof['flops'] / 1e9:,.0f} GFLOP/s ({roof['dtype']}, {roof['size']} square)"
    if roof["torch"]:
        speed += f"; torch's {roof['torch'] / 1e9:,.0f}"
    out.print(speed, markup=False)
    if roof["share"] is not None:
        theirs = f"; the peer {roof['peer_share']:.0%}" if roof["peer_share"] is not None else ""
        spread = f"{roof['share_min']:.0%} to {roof['share_max']:.0%}; {roof['work'] / 1e9:,.1f} GFLOP of work"
        out.print(f"reached: {roof['share']:.0%} of it ({spread}){theirs}", markup=False)


def _memory(found: dict[str, Any]) -> None:
    parts = [f"measured {found['measured'] / MB:,.0f} MiB"]
    if found["predicted"] is not None:
        parts.insert(0, f"predicted {found['predicted'] / MB:,.0f} MiB")
    if found["peer"] is not None:
        parts.append(f"the peer {found['peer'] / MB:,.0f} MiB, {found['ratio']:.2f} of it")
    where = "peak memory of the GPU: " if found["where"] == "device" else "peak memory: "
    out.print(where + ", ".join(parts), markup=False)


def _seconds(value: float) -> str:
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.1f} ms" if value >= 1e-3 else f"{value * 1e6:.0f} {drawn('µs', 'us')}"


def need_matplotlib() -> None:
    """Raises `InputError` saying what to install."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("--plot needs matplotlib: pip install 'bertref[plot]'") from None


def plot(found: dict[str, Any], path: str) -> None:
    """Seconds per step by batch size and by sequence length, a line for every side, as a picture."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    names = {"batch_size": "sequences in a batch", "seq_len": "tokens of a sequence"}
    given = found["input"]
    for axes, (axis, rows) in zip(figure.subplots(1, 2), found["sweep"].items(), strict=True):
        other = "seq_len" if axis == "batch_size" else "batch_size"
        for side in ("ours", *found["peers"]):
            label = "bertref" if side == "ours" else side
            axes.plot([row[axis] for row in rows], [row[side] for row in rows], "o-", label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.set(xlabel=names[axis], ylabel="seconds", title=f"{names[other]}: {given[other]}")
        axes.set_xticks([row[axis] for row in rows], [str(row[axis]) for row in rows])
        axes.grid(alpha=0.3)
        axes.legend()
    where = f"{found['machine']['cpu']}, {found['machine']['threads']} threads"
    figure.suptitle(f"bench {found['command']} --config {given['config']}: {where}")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be drawn ({error}); name a .png, .svg or .pdf file") from None
