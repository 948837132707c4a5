"""What can be wrong with a dump, and that its author is told in a line or two what to fix."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.verify.exchange import containers, read_dump, settings_digest, write_case
from bertref.verify.subjects.dump import DumpSubject

from .folders import case, dump, dump_tsv, right, some

NAMES = ("layer.0.query", "layer.0.probs", "loss.total")


def _edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Changes the index."""

    def spoil(folder: Path) -> None:
        path = folder / "index.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        change(values)
        path.write_text(json.dumps(values), encoding="utf-8")

    return spoil


def _tensor(**changes: Any) -> Callable[[Path], None]:
    """Changes what the index says of layer.0.query."""
    return _edit(lambda v: v["tensors"][0].update(changes))


def _drop(key: str) -> Callable[[Path], None]:
    return _edit(lambda v: v["tensors"][0].pop(key))


def _save(array: Any) -> Callable[[Path], None]:
    """Lets layer.0.query lie in a .npy file."""

    def spoil(folder: Path) -> None:
        np.save(folder / "q.npy", array)
        _edit(lambda v: v["tensors"].__setitem__(0, {"name": "layer.0.query", "file": "q.npy"}))(folder)

    return spoil


def _container(name: str, data: bytes, **changes: Any) -> Callable[[Path], None]:
    """Lets layer.0.query lie in a file of that name and content."""

    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(data)
        entry = {"name": "layer.0.query", "file": name, **changes}
        _edit(lambda v: v["tensors"].__setitem__(0, entry))(folder)

    return spoil


def _truncate(folder: Path) -> None:
    data = (folder / "out.bin").read_bytes()
    (folder / "out.bin").write_bytes(data[:-1])


def _link(folder: Path) -> None:
    (folder.parent / "outside.bin").write_bytes(bytes(20000))
    os.symlink(folder.parent / "outside.bin", folder / "link.bin")
    _tensor(file="link.bin")(folder)


QUERY = right()["layer.0.query"]
HEADER = json.dumps({"layer.0.query": {"dtype": "F64", "shape": [5, 13, 24], "data_offsets": [0, 12480]}}).encode()

BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no index": (lambda f: (f / "index.json").unlink(), "neither index.json nor index.tsv"),
    "half an index": (lambda f: (f / "index.json").write_text('{"tensors": [', encoding="utf-8"), "no JSON"),
    "deep nesting": (lambda f: (f / "index.json").write_text("[" * 100_000, encoding="utf-8"), "no JSON"),
    "an index in another encoding": (lambda f: (f / "index.json").write_bytes(b"\xff\xfe{"), "UTF-8"),
    "no tensors": (_edit(lambda v: v.pop("tensors")), '"tensors"'),
    "an empty list": (_edit(lambda v: v.update(tensors=[])), "no tensor to compare; write at least one"),
    "unknown version": (_edit(lambda v: v.update(version=2)), "format version 2; this bertref reads version 1"),
    "version in words": (_edit(lambda v: v.update(version="1")), "format version '1'"),
    "no version": (_edit(lambda v: v.pop("version")), "no format version"),
    "no format": (_edit(lambda v: v.pop("format")), "bertref-answers"),
    "a case": (_edit(lambda v: v.update(format="bertref-case")), "is a case.*folder of their own"),
    "big-endian": (_edit(lambda v: v.update(byte_order="big")), "byte_order is 'big'.*little-endian"),
    "no case": (_edit(lambda v: v.pop("case")), "does not say which case.*copy the first line of the case's index.tsv"),
    "a case that is no digest": (_edit(lambda v: v.update(case=7)), "a digest and a whole number"),
    "a seed in words": (_edit(lambda v: v.update(seed="seven")), "a digest and a whole number"),
    "wrong case": (_edit(lambda v: v.update(case="0" * 32)), "answers the case 000.*run the program on this case"),
    "wrong seed": (_edit(lambda v: v.update(seed=8)), "seed 8, but this one is of seed 7"),
    "unknown precision": (_edit(lambda v: v.update(precision="fp8")), "fp8.*bfloat16"),
    "no name": (_drop("name"), 'tensor 1: an object with a "name"'),
    "no file": (_drop("file"), "'layer.0.query'.*not inside the folder"),
    "no dtype": (_drop("dtype"), "'layer.0.query'.*no dtype; a raw file needs it"),
    "no shape": (_drop("shape"), "'layer.0.query'.*no shape; a raw file needs it"),
    "unknown key": (_tensor(strides=[1]), "'layer.0.query': unknown key 'strides'"),
    "unknown dtype": (_tensor(dtype="float8"), "'layer.0.query': unknown dtype 'float8'; there are float64"),
    "dtype of objects": (_tensor(dtype="object"), "'layer.0.query': unknown dtype 'object'"),
    "declared big-endian": (_tensor(dtype=">f8"), "'layer.0.query': dtype '>f8' is big-endian.*little-endian"),
    "negative size": (_tensor(shape=[5, -13, 24]), "'layer.0.query': shape is"),
    "size that is no number": (_tensor(shape=[5, 13.0, 24]), "'layer.0.query': shape is"),
    "shape in words": (_tensor(shape="5x13x24"), "'layer.0.query': shape is"),
    "an enormous shape": (_tensor(shape=[2**40, 2**40]), "'layer.0.query'.*truncated, or shape"),
    "too many axes": (_tensor(shape=[1] * 9 + [5 * 13 * 24]), "'layer.0.query'.*10 axes"),
    "negative offset": (_tensor(offset=-8), "'layer.0.query': offset is -8"),
    "offset behind the end": (_tensor(offset=10**9), "'layer.0.query'.*truncated, or shape, dtype or offset"),
    "offset true": (_tensor(offset=True), "'layer.0.query': offset is True"),
    "wrong nbytes": (_tensor(nbytes=7), "'layer.0.query': nbytes is 7, but float64 .* takes 12480"),
    "a truncated file": (_truncate, "'loss.total'.*out.bin has .*truncated"),
    "a missing file": (_tensor(file="gone.bin"), "'layer.0.query': its file gone.bin does not exist"),
    "a folder as file": (_tensor(file="."), "'layer.0.query'.*does not exist"),
    "a path upwards": (_tensor(file="../out/out.bin"), "'layer.0.query'.*not inside the folder"),
    "an absolute path": (_tensor(file="/etc/passwd"), "'layer.0.query'.*not inside the folder"),
    "a path of Windows": (_tensor(file="C:\\x.bin"), "'layer.0.query'.*not inside the folder"),
    "a path upwards on Windows": (_tensor(file="a\\..\\..\\x.bin"), "'layer.0.query'.*not inside the folder"),
    "a link out of the folder": (_link, "'layer.0.query'.*not inside the folder"),
    "a name twice": (_edit(lambda v: v["tensors"].append(v["tensors"][0])), "'layer.0.query' is listed twice"),
    "overlapping data": (_edit(lambda v: v["tensors"][1].update(offset=12480 - 8)),
                         "'layer.0.probs' starts at byte 12472 of out.bin, before the end of 'layer.0.query' at 12480"),
    "transposed": (_tensor(shape=[5, 24, 13]),
                   r"'layer.0.query': its shape is \(5, 24, 13\).*has \(5, 13, 24\).*mapping"),
    "another model": (_tensor(shape=[5, 13, 12]), r"'layer.0.query': its shape is \(5, 13, 12\).*correct the index"),
    "packed tokens": (_tensor(shape=[28, 24]), r"'layer.0.query'.*packed"),
    "heads first": (_tensor(shape=[5, 3, 13, 8]), r"'layer.0.query'.*heads_first"),
    "an unknown name": (_tensor(name="layer.0.quary"),
                        "'layer.0.quary' is no canonical name; did you mean 'layer.0.query'"),
    "a layer too many": (_tensor(name="layer.2.query"), "'layer.2.query' is no canonical name"),
    "bytes swapped in .npy": (_save(QUERY.astype(">f8")), "'layer.0.query': dtype '>f8' is big-endian"),
    "objects in .npy": (_save(np.array([{}])), "'layer.0.query': unknown dtype 'object'"),
    "fields in .npy": (_save(np.zeros(3, "i4,f4")), "'layer.0.query': unknown dtype"),
    "half an .npy header": (_container("q.npy", b"\x93NUMPY\x01\x00"),
                            "'layer.0.query': q.npy is truncated or no .npy"),
    "an unknown .npy": (_container("q.npy", b"\x93NUMPY\x09\x00"), "'layer.0.query': q.npy is truncated or no .npy"),
    ".npy that is none": (_container("q.npy", b"hello"), "'layer.0.query': q.npy is truncated or no .npy"),
    "empty .npy": (_container("q.npy", b""), "'layer.0.query': q.npy is truncated or no .npy"),
    "another shape in .npy": (lambda f: [_save(QUERY)(f), _tensor(shape=[1])(f)],
                              r"'layer.0.query': the index says shape \(1,\), and q.npy itself \(5, 13, 24\)"),
    "another dtype in .npy": (lambda f: [_save(QUERY)(f), _tensor(dtype="float32")(f)],
                              "'layer.0.query': the index says dtype float32, and q.npy itself float64"),
    "empty safetensors": (_container("q.safetensors", b""), "'layer.0.query': q.safetensors is truncated"),
    "a lying header": (_container("q.safetensors", struct.pack("<Q", 2**60) + b"{}"), "q.safetensors is truncated"),
    "half a header": (_container("q.safetensors", struct.pack("<Q", 9) + HEADER[:9]), "q.safetensors is truncated"),
    "no data": (_container("q.safetensors", struct.pack("<Q", len(HEADER)) + HEADER), "'layer.0.query'.*truncated"),
    "not in safetensors": (_container("q.safetensors", struct.pack("<Q", 2) + b"{}"),
                           "'layer.0.query': q.safetensors holds no tensor of this name"),
    "no shape in safetensors": (_container("q.safetensors", struct.pack("<Q", 23) + b'{"layer.0.query": {  } }'),
                                "q.safetensors is truncated"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_dump_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    folder = dump(tmp_path / "out", some(*NAMES))
    spoil, message = BAD[name]
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        DumpSubject(folder).answer(case())
    assert len(str(caught.value).splitlines()) <= 2


LINES = {
    "too few fields": ("pooled float32 2 5 24", "line 2: expected name, dtype, ndim"),
    "too many fields": ("pooled float32 1 5 24 0 out.bin", "line 2: expected name, dtype, ndim"),
    "words for numbers": ("pooled float32 two 5 24 0 out.bin", "line 2: expected"),
    "a negative rank": ("pooled float32 -1 0 out.bin", "line 2: expected"),
    "a negative size": ("pooled float32 2 5 -24 0 out.bin", "line 2: expected"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_bad_line_is_named(tmp_path: Path, name: str) -> None:
    line, message = LINES[name]
    folder = dump_tsv(tmp_path, {})
    with (folder / "index.tsv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=message):
        read_dump(folder)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("", "no format version"),
        ("# a comment", "no format version"),
        ("#bertref version=1", "does not say which case"),
        ("#bertref version=3 seed=7", "format version 3"),
        ("#bertref version=1 seed=x", "whole number"),
        ("#bertref version=1 case", "'case' is no key=value"),
        ("#bertref version=1 seed=7 byte_order=big", "little-endian"),
    ],
)
def test_a_bad_first_line_is_named(tmp_path: Path, first: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_dump(dump_tsv(tmp_path, some("pooled"), first))


def test_a_case_folder_is_no_dump(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a case, not the answers"):
        read_dump(write_case(case(), tmp_path / "case"))


@given(data=st.data())
def test_no_dump_brings_the_reader_down(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes of index and data changed, cut off or put in anywhere: an answer or a message, nothing else."""
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    kind = data.draw(st.sampled_from(["json", "tsv", "npy", "safetensors"]))
    target = folder / {"json": "index.json", "tsv": "index.tsv", "npy": "q.npy", "safetensors": "q.safetensors"}[kind]
    for path in folder.glob("*"):
        path.unlink()
    (dump_tsv if kind == "tsv" else dump)(folder, some(*NAMES))
    if kind == "npy":
        _save(QUERY)(folder)
    if kind == "safetensors":
        _container("q.safetensors", struct.pack("<Q", len(HEADER)) + HEADER + bytes(12480))(folder)
    content = target.read_bytes()
    content = content[:300] if kind in ("npy", "safetensors") and data.draw(st.booleans()) else content
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, min(len(content), 400)))
        cut = data.draw(st.sampled_from([0, 1, 1, 1, 4]))
        content = content[:start] + data.draw(st.binary(max_size=2)) + content[start + cut :]
    target.write_bytes(content)
    try:
        found = DumpSubject(folder).answer(case())
    except InputError as error:
        assert len(str(error).splitlines()) <= 3  # noqa: PT017 - a name may hold a line break
        return
    assert found.values.keys() <= right().keys()


def test_the_same_message_whatever_the_order(tmp_path: Path) -> None:
    """Two tensors that stand for the same name are both named."""
    mapping = tmp_path / "map.toml"
    mapping.write_text('[tensors]\n"q" = "layer.0.query"\n', encoding="utf-8")
    folder = dump(tmp_path / "out", {"q": QUERY, "layer.0.query": QUERY})
    with pytest.raises(InputError, match=r"'q' and 'layer.0.query' both stand for layer.0.query"):
        DumpSubject(folder, mapping=mapping).answer(case())
    assert read_dump(folder).case == settings_digest(case())


@pytest.mark.parametrize("header", ["{'descr'{: '<f8', 'shape': (2,), }", "{'descr': '<f8', 'shape': (2,", "\x00"])
def test_a_header_that_is_no_python(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.npy"
    text = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(16))
    with pytest.raises(InputError, match=r"a\.npy is truncated or no \.npy file"):
        containers.read_header(path, "a", "index.json: 'a'")
