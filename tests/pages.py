"""The pages of the project taken apart: blocks, commands, links, and the names of files, modules and options."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("bertref", "backends", "cli", "golden", "tests")
SOURCES = (".py", ".c", ".cu", ".md", ".sh", ".svg", ".toml")
"""Endings of files that are the project's, unless `FOREIGN` names them."""
FOREIGN = {
    "create_pretraining_data.py", "extract_features.py", "modeling.py", "optimization.py", "run_classifier.py",
    "run_pretraining.py", "run_squad.py", "tokenization.py",
    "my_bert.py", "novels/",
}  # fmt: skip
"""Files of the original, google-research/bert, and of a reader."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and what the comment on the line before it says."""

    language: str
    text: str
    note: str

    @property
    def file(self) -> str | None:
        """The file that a block of Python shows: its first line is `# NAME.py`."""
        named = re.match(r"# (\w+\.py)\n", self.text)
        return named[1] if named and self.language == "python" else None


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        """The path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        found = re.findall(r"^(?:<!-- (.*?) -->\n)?```(\w+)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        return [Block(language, text, note) for note, language, text in found]

    def code(self, language: str) -> list[str]:
        return [block.text for block in self.blocks if block.language == language]

    @cached_property
    def prose(self) -> str:
        """The text outside of fenced blocks."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @cached_property
    def spans(self) -> list[str]:
        """The inline code, with line breaks as blanks."""
        return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", self.prose)]

    @cached_property
    def links(self) -> list[str]:
        """Targets inside the repository."""
        found: list[str] = re.findall(r"\]\(([^)\s]+)\)", self.prose)
        return [target for target in found if not re.match(r"[a-z]+:", target)]

    @cached_property
    def files(self) -> list[str]:
        """The spans that name a file or a folder of the repository, from the page's folder or from the top."""
        named = (span for span in self.spans if re.fullmatch(r"[\w./-]+", span) and span not in FOREIGN)
        return [name for name in named if name.endswith((*SOURCES, "/")) or name.partition("/")[0] in (*ROOMS, ".ci")]

    def missing_files(self) -> list[str]:
        return [name for name in self.files if not any((base / name).exists() for base in (self.path.parent, ROOT))]

    def broken_links(self) -> list[str]:
        """Targets that do not exist, or that have no heading of that name."""
        return [target for target in self.links if not self._reaches(target)]

    def _reaches(self, target: str) -> bool:
        file, _, heading = target.partition("#")
        path = self.path.parent / file if file else self.path
        return path.exists() and (not heading or heading in Page(path.resolve()).headings)

    @cached_property
    def headings(self) -> set[str]:
        """The names by which GitHub links to the headings."""
        titles = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    @cached_property
    def lines(self) -> list[str]:
        """What is typed into a shell: lines of `sh` blocks, commands of transcripts, and inline code."""
        typed = [line for text in self.code("sh") for line in text.splitlines()]
        typed += [line[2:] for text in self.code("console") for line in text.splitlines() if line.startswith("$ ")]
        return [part.strip().removeprefix(".venv/bin/") for line in typed + self.spans for part in line.split("&&")]

    @property
    def commands(self) -> list[str]:
        """The `bertref ...` command lines; a command that is only named, `bertref info`, is none."""
        return [line for line in self.lines
                if line.startswith("bertref ") and (line not in self.spans or len(line.split()) > 2)]  # fmt: skip

    @property
    def named_commands(self) -> list[str]:
        """What of bertref's commands is named in inline code: "info" of `bertref info`."""
        return [span.split()[1] for span in self.spans if span.startswith("bertref ")]

    @property
    def modules(self) -> list[str]:
        """What `python -m` runs."""
        found = (re.match(r"python3? -m ([\w.]+)", line) for line in self.lines)
        return [match[1] for match in found if match and match[1] != "venv"]

    @property
    def names(self) -> list[str]:
        """The spans that name a module of bertref or something in one."""
        found = (re.match(r"(bertref(?:\.\w+)+)(?:$|\()", span) for span in self.spans)
        return [match[1] for match in found if match]

    @property
    def options(self) -> set[str]:
        return {span.split()[0].rstrip(",") for span in self.spans if span.startswith("--")}

    def table(self, header: str) -> list[list[str]]:
        """The rows of the table whose first heading cell is `header`."""
        lines = self.text[self.text.index(f"| {header} |") :].split("\n\n")[0].splitlines()
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def readmes() -> list[Page]:
    """The README.md of the top and of every room; the links inside `bertref` are not followed."""
    found = [ROOT / "README.md"]
    for room in ROOMS:
        for folder, _, files in sorted(os.walk(ROOT / room)):
            found += [Path(folder) / "README.md"] if "README.md" in files else []
    return [Page(path) for path in found]


def packages() -> list[Path]:
    """The folders that are packages of bertref."""
    rooms = (ROOT / room for room in ROOMS if room != "tests")
    return sorted(Path(folder) for room in rooms for folder, _, files in os.walk(room) if "__init__.py" in files)
