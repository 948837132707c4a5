"""Any program, run on the case: `cmd:./my_bert {case} {out}`."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from ...errors import InputError
from ..exchange import Mapping, read_dump, read_mapping, write_case
from ..records import Answers, Case

SHOWN = 10
"""How many of its last lines are shown when it fails."""


class CommandSubject:
    """Writes the case into a temporary folder, runs the command in the current folder, and reads its answers.

    In the command, `{case}` stands for the case's folder and `{out}` for an empty folder to write answers into. It
    is split as a shell would, but no shell runs it unless `shell` is set. `timeout` is in seconds; `formats` are
    those of `write_case`; `mapping` as for a dump. Raises `InputError` for a command without {case} and {out}.
    """

    live = True

    def __init__(
        self,
        command: str,
        *,
        timeout: float = 600.0,
        shell: bool = False,
        formats: Sequence[str] = ("bin",),
        mapping: str | Path | Mapping | None = None,
        precision: str | None = None,
    ) -> None:
        self.name = f"cmd:{command}"
        for place in ("{case}", "{out}"):
            if place not in command:
                raise InputError(f"{self.name}: {place} does not occur; write \"cmd:./program {{case}} {{out}}\"")
        try:
            self._parts = shlex.split(command)
        except ValueError as error:
            raise InputError(f"{self.name}: can't be split into words ({error}); close the quotes") from None
        self._command, self._timeout, self._shell, self._formats = command, timeout, shell, tuple(formats)
        self._mapping = read_mapping(mapping) if isinstance(mapping, str | Path) else mapping
        self._written: tuple[Case, tempfile.TemporaryDirectory[str]] | None = None
        self.precision = precision

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """Runs the command. Raises `InputError` with its last lines if it can't be started, fails, or takes too long,
        and as a dump does if its answers can't be read."""
        folder = self._case_folder(case)
        with tempfile.TemporaryDirectory(prefix="bertref-answers-") as out:
            self._run(folder, Path(out))
            try:
                dump = read_dump(out)
            except InputError as error:
                raise InputError(f"{self.name}: it ran, but {error}") from None
            self.precision = self.precision or dump.precision
            return dump.answers(case, mapping=self._mapping, wanted=wanted)

    def _case_folder(self, case: Case) -> Path:
        """The case on the disk; written once, however often it is asked, and removed with the subject."""
        if self._written is None or self._written[0] is not case:
            temporary = tempfile.TemporaryDirectory(prefix="bertref-case-")
            write_case(case, Path(temporary.name) / "case", formats=self._formats)
            self._written = case, temporary
        return Path(self._written[1].name) / "case"

    def _run(self, case: Path, out: Path) -> None:
        places = {"{case}": str(case), "{out}": str(out)}
        with tempfile.TemporaryFile() as log:
            quoted = {place: shlex.quote(path) for place, path in places.items()}
            words = [_filled(part, places) for part in self._parts]
            process = self._start(words, _filled(self._command, quoted), log.fileno())
            try:
                code = process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                raise InputError(
                    f"{self.name}: took longer than {self._timeout:g} s and was stopped; give it more time, or a "
                    f"smaller case{_last_lines(log.fileno())}"
                ) from None
            finally:
                _stop(process)
            if code:
                how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
                raise InputError(f"{self.name}: {how}{_last_lines(log.fileno())}")

    def _start(self, parts: list[str], line: str, log: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                line if self._shell else parts, shell=self._shell, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=os.name == "posix",
            )  # fmt: skip
        except OSError as error:
            raise InputError(
                f"{self.name}: {parts[0]} can't be started ({error.strerror or error}); is the path right, "
                "and is it executable?"
            ) from None


def _filled(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the program if it still runs, and what it started with it."""
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _last_lines(log: int) -> str:
    """The end of what the program printed, as an appendix to a message."""
    size = os.lseek(log, 0, os.SEEK_END)
    os.lseek(log, max(0, size - 4096), os.SEEK_SET)
    lines = os.read(log, 4096).decode("utf-8", errors="replace").strip().splitlines()[-SHOWN:]
    return "; its last lines:\n  " + "\n  ".join(lines) if lines else "; it printed nothing"
