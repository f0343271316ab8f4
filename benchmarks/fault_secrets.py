"""Whether secrets stay in what a run keeps: in its command, environment, diff, addresses and job file.

The secrets are those of tests/test_secrets.py.  Runs are submitted with them, and then each file of their folders and the
history is searched, but for launch.json, which is run.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import test_secrets as shapes
from fault_world import CLUSTERPLAN, world_environment

from clusterplan.launcher.secrets.text import redact_text

RUN_AS_IT_IS = {"launch.json"}
DIFF_BYTES = 1_000_000
AT_ONCE = 50  # words of a command


@dataclass
class SecretTally:
    """Secrets by where they stood, those that were kept, harmless words that were hidden, and the time of a large diff."""

    secrets: int = 0
    kept: list[str] = field(default_factory=list)
    harmless: int = 0
    hidden: list[str] = field(default_factory=list)
    diff_s: float = 0.0
    floor_s: float = 0.0


def run_secrets(scratch: Path) -> SecretTally:
    """Submit runs with secrets in each place; count those that their folders keep."""
    tally = SecretTally()
    named = [(line, shapes.some(40, shapes.HEX)) for line in shapes.NAMED if "{{" not in line]
    lines = [(line, shapes.some(40, shapes.HEX)) for line in shapes.LINES if "\n" not in line]
    texts = [line.format(secret) for line, secret in lines]
    tokens: list[str] = list(shapes.TOKENS)
    for place, words in _commands(tokens, named):
        _search(scratch, place, words, tokens + [secret for _, secret in named], tally)
    variables = {f"CONDA_X{number}": token for number, token in enumerate(tokens)}
    _search(scratch, "environment", ["x"], tokens, tally, environment=variables)
    _search(scratch, "diff", ["x"], tokens, tally, diff="\n".join(f"x = {token!r}" for token in tokens))
    _search(scratch, "diff", ["x"], [secret for _, secret in lines], tally, diff="\n".join(texts))
    words = [word for word in shapes.harmless_words() if "{" not in word]  # those are placeholders
    tally.harmless = len(words)
    run = _submit(scratch, ["true", *words], {}, None)
    shown = json.loads((run / "run.json").read_text(encoding="utf-8"))["command"][1:]
    tally.hidden = [word for word, kept in zip(words, shown, strict=True) if word != kept]
    tally.diff_s, tally.floor_s = _time_diff()
    return tally


def _commands(tokens: Sequence[str], named: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    for begin in range(0, len(tokens), AT_ONCE):
        some = tokens[begin : begin + AT_ONCE]
        yield "argument", list(some)
        yield "argument", [f"--x={token}" for token in some]
        yield "address", [f"https://host.example/a?x={token}&y=1" for token in some]
    for begin in range(0, len(named), AT_ONCE):
        texts = [line.format(secret) for line, secret in named[begin : begin + AT_ONCE]]
        yield "script", ["bash", "-c", "\n".join(texts)]
        yield "argument", [word for text in texts if text.startswith("-") for word in text.split()]


def _search(
    scratch: Path,
    place: str,
    words: Sequence[str],
    secrets: Sequence[str],
    tally: SecretTally,
    environment: dict[str, str] | None = None,
    diff: str | None = None,
) -> None:
    given = " ".join([*words, *(environment or {}).values(), diff or ""])
    there = [secret for secret in secrets if secret in given]
    run = _submit(scratch, ["true", *words], environment or {}, diff)
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in RUN_AS_IT_IS]
    files += scratch.glob("home/history.db*")
    contents = [path.read_bytes() for path in files]
    tally.secrets += len(there)
    tally.kept += [
        f"{secret[:6]}..., {place}, in {path.name}"
        for secret in there
        for path, content in zip(files, contents, strict=True)
        if secret.encode() in content
    ]


def _submit(scratch: Path, command: Sequence[str], more: dict[str, str], diff: str | None) -> Path:
    home, repository = scratch / "home", scratch / "repository"
    if not repository.exists():
        home.mkdir()
        repository.mkdir()
        (repository / "train.py").write_text("x = 1\n", encoding="utf-8")
        author = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        for git in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "x")):
            subprocess.run(["git", *git], cwd=repository, check=True)
    (repository / "train.py").write_text(f"x = 1\n{diff}\n" if diff else "x = 1\n", encoding="utf-8")
    job = repository.parent / "job.toml"
    listed = ", ".join(json.dumps(word) for word in command)
    job.write_text(f"[run]\ncommand = [{listed}]\nbootstrap = 'single'\n", encoding="utf-8")
    environment = {**world_environment(home), **more}
    environment["PATH"] += ":/usr/local/bin:/usr/bin:/bin"
    words = [CLUSTERPLAN, "submit", "--executor", "local", "--json", "--gpus", "1", "--force", str(job)]
    done = subprocess.run(words, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[:3]}: {done.stderr}")
    run = Path(json.loads(done.stdout)["folder"])
    while not (run / "status.json").exists():
        time.sleep(0.05)
    return run


def _time_diff() -> tuple[float, float]:
    """Return the CPU seconds that a diff of 1 MB takes, and those of one expression on each of its lines."""
    text = (shapes.CODE * (DIFF_BYTES // len(shapes.CODE) + 1))[:DIFF_BYTES]
    began_s = time.process_time()
    redact_text(text)
    middle_s = time.process_time()
    plain = re.compile(r"(?i)\b\w*(?:token|key|secret|passw)\w*\s*[=:]")
    for line in text.splitlines():
        plain.search(line)
    return middle_s - began_s, time.process_time() - middle_s
