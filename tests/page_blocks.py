"""The blocks of commands in the pages, as a reader types them: in order, page by page, in a home of their own.

A comment before a block, which no reader sees, says what is special about it:

    <!-- first: COMMANDS -->    what a reader has already, or waits for: run before the block, in the block's language
    <!-- needs: NAMES -->       programs, Python modules, `slurm` or `gpus`; where one is missing, the block is not run
    <!-- varies: WHY -->        each run prints other words: only the first word of each line has to be there
    <!-- slow: WHY -->          run by `make test-slow` alone
    <!-- serves -->             its last command serves until the page ends, on a port that is free
    <!-- not run: WHY -->       needs what no machine of the tests has
    <!-- file: FILE -->         nothing to run: the reader writes it into this file
    <!-- shows: FILE -->        nothing to run: lines of a file that the commands wrote, or of `output`, what they printed
    <!-- but not: COMMAND, WHY -->  one of its commands is not run
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from urllib.error import URLError

from slurm_cluster import until

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name not in {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
)
COMMANDS, SCRIPTS = ("console",), ("sh", "bash", "python")
FRAMEWORKS = {"torch", "transformers", "lightning"}
ENVIRONMENTS = ("slurm", "gpus")  # what the tests bring themselves, in `make test-slow`
_MARKS = ("varies", "first", "needs", "slow", "serves", "not run", "but not", "file", "shows")

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_ID = re.compile(r"\b([\w.+-]+?)-\d{8}T\d{6}-[0-9a-f]{4}\b")
_PLACEHOLDERS = {"JOB.toml": "examples/cpu_ddp.toml"}


@dataclass
class Block:
    """A block of a page: its commands, what the page shows below each, and the marks before it."""

    page: str
    line: int
    language: str
    lines: Sequence[str]
    marks: Mapping[str, str]
    is_generated: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def typed(self) -> Iterator[tuple[str, str]]:
        """Each command with what is shown below it; a script is one command that shows nothing."""
        if self.language not in COMMANDS:
            yield "\n".join(self.lines), ""
            return
        parts = re.split(r"^\$ ", "\n".join(self.lines), flags=re.MULTILINE)[1:]
        for part in parts:
            command, _, shown = part.partition("\n")
            yield command, shown.strip("\n")

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(re.split(r"[\s,]+", self.marks["needs"])) if "needs" in self.marks else ()

    @property
    def is_slow(self) -> bool:
        return "slow" in self.marks or not set(ENVIRONMENTS).isdisjoint(self.needs)

    def missing(self) -> str:
        """The first program or module that the block needs and this machine lacks."""
        names = (name for name in self.needs if name not in ENVIRONMENTS)
        return next((name for name in names if not (shutil.which(name, path=_path()) or find_spec(name))), "")


def read_blocks(page: Path) -> list[Block]:
    """Read the blocks of commands and Python of a page; sessions of Python (`>>>`) are doctests."""
    name = str(page.relative_to(ROOT))
    blocks, marks, generated = [], dict[str, str](), False
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if (fence := _FENCE.match(line)) is not None:
            indent, language = fence.groups()
            inside = []
            for _, text in lines:
                if text.strip() == "```":
                    break
                inside.append(text.removeprefix(indent))
            if language == "text" and inside[:1] and inside[0].startswith("$ "):
                raise ValueError(f"{name}:{number}: commands are a `console` block")
            if marks.keys() & {"file", "shows"} or (
                language in COMMANDS + SCRIPTS and not inside[0].startswith(">>> ")
            ):
                blocks.append(Block(name, number, language, inside, marks, generated))
            marks = {}
        elif "[[[cog" in line:
            generated = True
        elif "[[[end]]]" in line:
            generated = False
        elif line.lstrip().startswith("<!--"):
            comment = line.strip().removeprefix("<!--")
            while "-->" not in comment:
                comment += "\n" + next(lines)[1]
            kind, _, value = comment.partition("-->")[0].strip().partition(":")
            if kind in _MARKS:  # another comment marks nothing, so the block is run as it is
                marks = {**marks, kind: value.strip()}
        elif line.strip() and not generated:
            marks = {}
    return blocks


def count_blocks() -> Counter[str]:
    """How many blocks of commands all pages have, by what runs them or why nothing does."""
    counts = Counter[str]()
    for block in (block for page in PAGES for block in read_blocks(page)):
        if "not run" in block.marks:
            counts[f"not run: {block.marks['not run']}"] += 1
        elif FRAMEWORKS.intersection(block.needs):
            counts["run by `make frameworks`"] += 1
        else:
            counts[f"run by `make {'test-slow' if block.is_slow else 'test'}`"] += 1
    return counts


class _Finished(Protocol):
    returncode: int
    stdout: str
    stderr: str


class _Program(Protocol):
    def __call__(self, *args: object, cwd: Path, env: Mapping[str, str]) -> _Finished: ...


@dataclass
class Reader:
    """Somebody who types what a page says, in a copy of the repository, with an empty home."""

    folder: Path
    program: _Program
    more: Mapping[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(
        default_factory=dict
    )  # the newest run of each name that a command has printed
    printed: str = ""  # by the last command
    server: subprocess.Popen[str] | None = None
    address: str = ""  # of the server

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder)
        for name in ("cluster_profiles", "examples"):
            shutil.copytree(ROOT / name, self.folder / name)
        (self.folder / "tests").symlink_to(ROOT / "tests")
        home = self.folder / "home"
        home.mkdir()
        (self.folder / ".venv").mkdir()
        for entry in Path(sys.prefix).iterdir():
            if not entry.name.startswith("installed"):
                (self.folder / ".venv" / entry.name).symlink_to(entry)
        (self.folder / ".venv/installed").touch()
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("CLUSTERPLAN_", "XDG_", "SLURM_", "MAKE"))
        }
        self.environment = {
            **kept,
            "HOME": str(home),
            "TZ": "UTC",
            "USER": "ada",
            "PATH": _path(),
            "CLUSTERPLAN_LOCKS": str(home),
            **self.more,
        }

    def run(self, block: Block) -> list[str]:
        """Run a block; return what is wrong with it, in words."""
        if "shows" in block.marks:
            return self._compare(block, block.marks["shows"])
        if "file" in block.marks:
            path = self.folder / block.marks["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(block.lines), encoding="utf-8")
            return []
        first = block.marks.get("first", "")
        if first and block.language != "python":
            done = self._run_in_shell(first, wait_s=120)
            if done.returncode:
                return [f"{block}: first: {done.stdout}{done.stderr}"]
            self._see(done.stdout + done.stderr)
        typed = list(block.typed)
        wrong = []
        for number, (command, shown) in enumerate(typed, 1):
            if "serves" in block.marks and number == len(typed):
                wrong += self._serve(block, command)
                continue
            if "but not" in block.marks and command.startswith(block.marks["but not"].partition(",")[0]):
                continue
            self._has_file(command, shown)
            done = self._type(block, self._fill_in(command))
            self._see(done.stdout + done.stderr)
            if done.returncode:
                wrong.append(f"{block}: {command}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
            elif (
                shown
                and not block.is_generated
                and not self._is_as_shown(shown, done, "varies" in block.marks)
            ):
                wrong.append(
                    f"{block}: {command}\nthe page shows\n{shown}\nand it printed\n{done.stdout}{done.stderr}"
                )
        return wrong

    def _is_as_shown(self, shown: str, done: _Finished, varies: bool) -> bool:
        """Compare both orders: a terminal mixes the two streams."""
        if varies:
            return _first_words(shown) <= _first_words(done.stdout + done.stderr)
        return is_as_shown(shown, done.stderr + done.stdout) or is_as_shown(shown, done.stdout + done.stderr)

    def _see(self, printed: str) -> None:
        self.printed = printed
        for match in _ID.finditer(printed):
            self.ids.pop(match[1], None)
            self.ids[match[1]] = match[0]

    def leave(self) -> None:
        """End the runs that go on, and the server."""
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(60)
            self.server.stdout.close()
        runs = self.folder / "runs"
        for run in runs.iterdir() if runs.is_dir() else ():
            if not (run / "status.json").exists():
                self.program("cancel", run.name, cwd=self.folder, env=self.environment)

    def _has_file(self, command: str, shown: str) -> None:
        """Write the file that a page shows by `cat`: the reader has it."""
        program, _, name = command.partition(" ")
        if program == "cat" and not (path := self.folder / name).exists():
            path.write_text(f"{shown}\n", encoding="utf-8")

    def _compare(self, block: Block, name: str) -> list[str]:
        text = self.printed if name == "output" else (self.folder / name).read_text(encoding="utf-8")
        shown = "\n...\n".join(["", *block.lines, ""])
        return [] if is_as_shown(shown, text) else [f"{block}: this is not in {name}:\n{text}"]

    def _fill_in(self, command: str) -> str:
        """Put what a reader would put: the id of a run of this name, the latest run for RUN, a job file."""
        command = _ID.sub(lambda m: self.ids.get(m[1], m[0]), command)
        if self.address:
            command = command.replace("http://127.0.0.1:8001", self.address)
        for word, value in {
            **_PLACEHOLDERS,
            "RUN": sorted(self.ids.values(), key=lambda run: run[-20:])[-1:],
        }.items():
            if value:
                command = re.sub(
                    rf"(?<!\S){word}(?!\S)", value if isinstance(value, str) else value[0], command
                )
        return command

    def _type(self, block: Block, command: str) -> _Finished:
        if block.language == "python":
            return self._run([sys.executable, "-c", f"{block.marks.get('first', '')}\n{command}"])
        words = shlex.split(command, comments=True)
        if words[0] == "clusterplan" and not re.search(r"[$|&;<>*]", command):
            return self.program(*words[1:], cwd=self.folder, env=self.environment)
        return self._run_in_shell(command)

    def _run_in_shell(self, commands: str, wait_s: float = 300) -> _Finished:
        return self._run(["bash", "-euo", "pipefail", "-c", commands], wait_s)

    def _run(self, words: Sequence[str], wait_s: float = 300) -> _Finished:
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=wait_s,
            stdin=subprocess.DEVNULL,
        )

    def _serve(self, block: Block, command: str) -> list[str]:
        """Start a server on a port that is free, and ask it once."""
        self.printed = ""
        self.server = subprocess.Popen(
            ["bash", "-c", f"exec {command} --port 0"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in self.server.stdout:
            self.printed += line
            if address := re.search(r"(http://127\.0\.0\.1:\d+)(\S*)", line):
                self.address = address[1]
                until(lambda: _answers(address[0]), f"{address[0]} to answer")
                return []
        return [f"{block}: {command} ended\n{self.printed}"]


def is_as_shown(shown: str, printed: str) -> bool:
    """Whether a command printed what a page shows, where `...` stands for any words, and numbers, times and places differ."""
    rest = _plain(printed)
    first, *others = (part.strip() for part in _plain(shown).split("..."))
    if not rest.startswith(first):
        return False
    for part in others:
        _, there, rest = rest.partition(part) if part else ("", "...", rest)
        if not there:
            return False
    return others != [] or rest == first


def _first_words(text: str) -> set[str]:
    return {_plain(line.split()[0]) for line in text.splitlines() if line[:1].strip(" .")}


def _plain(text: str) -> str:
    text = _ID.sub(r"\1-ID", text)
    text = re.sub(r"/[\w./@-]*/", "/", text)  # where the reader stands
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|today|yesterday)\b", "0", text)
    text = re.sub(r"\d[\d_.,:T-]*(\s?(d|h|m|s|ms|us))?\b(\s\d+(h|m|s)\b)*", "0", text)
    return re.sub(r"[█░▏▎▍▌▋▊▉]+", "█", " ".join(text.split()))


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310  our own server
            return bool(answer.status == HTTPStatus.OK)
    except URLError:  # it does not listen yet
        return False


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
