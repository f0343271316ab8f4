"""What steers a terminal, turns words around or is not seen at all is shown and not obeyed, in all but raw logs.

Sources: CVE-2021-42574 (direction marks), CVE-2003-0063 (titles of xterm),
https://owasp.org/www-community/attacks/CSV_Injection.
"""

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import ROOT, Command

from clusterplan.cluster_profiles.visible_text import show_controls, spreadsheet_cell, text_of_cell
from clusterplan.estimator.gpu_use.reading import Event, GpuReading, Tick
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run, write_json
from clusterplan.launcher.run_folder.job_log import append_job
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode
from clusterplan.render.html_page import HtmlPage
from clusterplan.render.layout import Page, Style

T0 = 1_763_900_000.0
STEERING = [
    *(chr(code) for code in (*range(32), *range(0x7F, 0xA0))),  # C0, DEL and C1: ESC, CR, tab, the 8-bit CSI
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",  # directions
    *"\u200b\u200c\u200d\u2060\ufeff\u00ad\u3164\U000e0041",  # without a width
    *"\u2028\u2029\ud800\udc9b",  # line and paragraph; halves of a pair: a byte that is no UTF-8
]
WORDS = [
    "\x1b[2J\x1b[Hclean",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "".join(STEERING[:-2]),
    "a\r\nError: forged\tb",
]
ARGUMENT = "".join(WORDS).replace("\0", "")  # no argument holds a NUL
NORMAL = [
    "训练 nº 1",
    "naïve e\u0301",
    "👩\u200d🔬 ❤\ufe0f",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "क्\u200dष",
    "µs ±3 % →",
    "a\u00a0b",
]
OURS = re.compile(r"\x1b\[[\d;]*m")


def steering(text: str) -> str:
    """What of a text is neither a line break nor shown."""
    return "".join(letter for letter in text if letter != "\n" and show_controls(letter) != letter)


@pytest.mark.parametrize("letter", STEERING, ids=lambda letter: f"{ord(letter):x}")
def test_what_steers_is_shown(letter: str) -> None:
    shown = show_controls(f"a{letter}b")
    assert shown.isascii()
    assert re.fullmatch(r"a\\(x..|u....|U.{8}|[nrt])b", shown)


@pytest.mark.parametrize("text", NORMAL)
def test_letters_of_any_script_stay(text: str) -> None:
    assert show_controls(text) == text


@pytest.mark.parametrize("colour", [False, True])
def test_a_page_is_steered_by_nothing_but_our_styles(colour: bool) -> None:
    for page in (Page(40, colour=colour), HtmlPage()):
        for word in WORDS:
            page.line(word, Style.BOLD)
            page.sentence(word, Style.BAD)
            page.facts([(word, word, word)])
            page.notes([(word, word)])
            page.table((word, "b", "c"), [(word, word, word)], right=(1,))
        assert not steering(OURS.sub("", str(page)))


def test_a_line_break_in_a_cell_begins_no_row() -> None:
    page = Page(80, colour=False)
    page.table(("run", "state"), [("a\nb", "ok")])
    assert str(page).splitlines() == ["run   state", r"a\nb  ok"]


@pytest.fixture
def hostile_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that ended, of which each file says what steers a terminal."""
    text = ARGUMENT  # a NUL would make the record one that cannot be read
    began = datetime.fromtimestamp(T0, UTC)
    shape = {"model": text, "gpu": None, "nodes": 1, "gpus": 1, "gpus_per_node": 1, "batch_size": 1}
    facts = {
        "kind": "submit",
        "executor": "local",
        "command": [text, "train.py"],
        "model": text,
        "host": text,
        "user": text,
        "cwd": text,
        "began_s": T0,
        "sweep": {text: text},
        "environment": {"VIRTUAL_ENV": text},
        "git": {"commit": text, "dirty": True},
        "shape": shape | {"accumulation": 1, "precision": "bf16", "seq_len": None, "cluster": text},
        "steps": 10,
    }
    folder = create_run_folder(text, tmp_path / "runs", began, facts)
    gpus = [{"uuid": f"=GPU{text}", "name": text, "memory_bytes": 80 * 10**9}]
    header = {"run": "r", "node": text, "period_s": 1.0, "driver": text, "attribution": "uuid", "gpus": gpus}
    with SpoolWriter(folder / "n1.00000000.spool", header) as spool:
        for second in range(70):
            spool.append(encode(Tick(T0 + second, (GpuReading(0, utilisation_percent=1, power_mw=10**5),))))
        spool.append(encode(Event(T0 + 69, "gpu_lost", text, 0)))
    append_job(folder, "local", "7")
    (folder / "tasks").mkdir()
    task = TaskRecord("7", 0, 0, 1, text, text, 1, "1", T0, T0 + 70, state="ended", outcome="failed")
    words = {"error": text, "error_kind": "error", "reason": text, "exit_code": 1, "ended_s": T0 + 71}
    write_json(folder / "tasks/7.0.0.json", vars(task) | words)
    end = {"state": "failed", "ended_s": T0 + 71, "exit_code": 1, "reason": text, "error": text}
    write_json(folder / "status.json", end | {"rank": 0, "log": 0, "node": text, "error_kind": "error"})
    (folder / "logs").mkdir()
    (folder / "logs" / "0.log").write_text("plain\n")
    (folder / "sampler.log").write_text(text, errors="replace")
    history = tmp_path / "history.db"
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(history))
    monkeypatch.setenv("CLUSTERPLAN_RUNS", str(tmp_path / "runs"))
    register_run(folder, history)
    return folder.name


@pytest.fixture
def hostile_files(tmp_path: Path) -> Path:
    """Files that a command is given: a job, a script, a profile, curves, measurements."""
    text = json.dumps("".join(WORDS))
    (tmp_path / "job.toml").write_text(
        f"model = {text}\n[data]\nsamples = 10\n[training]\ngpus = 1\n[run]\ncommand = [{text}]\n"
        f"[throughput]\nsource = {text}\nsamples_per_s = 3\n"
    )
    (tmp_path / "bad.toml").write_text(f"[{text}]\n{text} = {text}\n")
    (tmp_path / "broken.toml").write_bytes(b"[a\x1b[2J\n")
    (tmp_path / "profile.toml").write_text(
        f"name = {text}\n[[partitions]]\nname = {text}\nnodes = 1\ngpus_per_node = 1\ngpu = {text}\n"
    )
    (tmp_path / "run.sh").write_text(
        f"#SBATCH --job-name='{WORDS[0]}' {WORDS[1]}\nexport A='{WORDS[2]}'\npython t.py --name '{WORDS[3][:20]}\x9b\u202e'"
        f" --output_dir $A --num_train_epochs 1 '\x1b[2J'\n",
        encoding="utf-8",
    )
    (tmp_path / "loss.csv").write_text("step,loss\x1b[2J,x\n1,2,\x1b\n")
    (tmp_path / "measured.csv").write_text("model,gpus,batch_size,step_time_s\n'=\x1b[2Jx,1,1,2\n")
    (tmp_path / "wrong.csv").write_text("model,gpus\x1b[2J,batch_size,step_time_s\n=x,1,1,2\n")
    return tmp_path


COMMANDS = [
    "status",
    "status RUN",
    "status --json",
    "logs RUN --all",
    "logs RUN",
    "cancel RUN",
    "resume RUN --dry-run",
    "history import",
    "history list",
    "history list --json",
    "history show RUN",
    "history export RUN",
    "history export RUN --jsonl",
    "history compare RUN RUN",
    "history accuracy",
    "history check",
    "history add --csv measured.csv",
    "history add --csv wrong.csv",
    "history remove ESC",
    "report RUN",
    "report RUN --json",
    "advise loss.csv",
    "advise RUN",
    "estimate job.toml --explain",
    "estimate bad.toml",
    "estimate broken.toml",
    "estimate ESC.toml",
    "estimate job.toml --cluster ESC",
    "submit job.toml --dry-run --executor local",
    "submit --executor local --dry-run -- ESC ESC",
    "submit --sweep ESC=ESC --dry-run -- ESC",
    "calibrate --dry-run -- ESC",
    "init run.sh -o -",
    "init run.sh -o ESC.toml",
    "init run.sh --json",
    "profiles show profile.toml",
    "profiles check profile.toml",
    "profiles show ESC",
    "sample --for ESC",
    "config show",
    "ESC",
    "status --ESC",
    "report ESC",
    "logs ESC",
]


def test_no_command_lets_a_run_or_a_file_steer_the_terminal(
    in_process: Command,
    clusterplan: Command,
    hostile_run: str,
    hostile_files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = hostile_files / "config" / "clusterplan"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f"{json.dumps(WORDS[0])} = 1\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(hostile_files / "config"))
    shown = dict[str, str]()
    for command in COMMANDS:
        words = [word.replace("RUN", hostile_run).replace("ESC", ARGUMENT) for word in command.split()]
        done = (clusterplan if words[0] == "logs" else in_process)(*words)
        assert not steering(done.stdout + done.stderr), command
        assert not re.search(r"(?m)^Error: forged", done.stdout + done.stderr), command
        shown[command] = done.stdout + done.stderr
    assert r"\x1b[2J" in shown["status"]
    assert sum(r"\x1b" in text for text in shown.values()) > len(COMMANDS) // 2


def test_a_folder_whose_name_steers_is_a_run_like_others(
    in_process: Command, hostile_run: str, tmp_path: Path
) -> None:
    runs, links = tmp_path / "runs", tmp_path / "history.runs"
    name = "evil\x1b[2J\n\u202e\x9b"
    (runs / hostile_run).rename(runs / name)
    (links / hostile_run).unlink()
    (links / name).symlink_to(runs / name)
    for command in ("status", "history list", "history import", "report", "cancel evil", "resume evil"):
        done = in_process(*command.split())
        assert not steering(done.stdout + done.stderr), command
    assert r"evil\x1b[2J\n\u202e\x9b" in in_process("status").stdout


def test_the_log_itself_is_as_the_run_wrote_it(
    clusterplan: Command, hostile_run: str, tmp_path: Path
) -> None:
    (tmp_path / "runs" / hostile_run / "logs/0.log").write_bytes(b"\x1b[31mred\x1b[0m\n")
    assert clusterplan("logs", hostile_run).stdout == "\x1b[31mred\x1b[0m\n"


def test_a_job_file_that_init_writes_holds_the_same_words(in_process: Command, tmp_path: Path) -> None:
    word = "a\x9b\u202e\x7f\x1b[2J"
    in_process("init", "-o", "job.toml", "--", "python", "train.py", "--name", word)
    text = (tmp_path / "job.toml").read_text()
    assert not steering(text)
    import tomllib  # noqa: PLC0415

    assert word in tomllib.loads(text)["run"]["command"]


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", '=HYPERLINK("http://x")']
)
def test_a_cell_is_no_formula_and_reads_back(cell: str) -> None:
    written = spreadsheet_cell(cell)
    assert written[0] == "'"
    assert text_of_cell(written) == show_controls(cell) or "\\" in written


def test_an_exported_text_is_no_formula_and_a_number_stays_one(in_process: Command, hostile_run: str) -> None:
    in_process("history", "import")
    rows = list(csv.DictReader(io.StringIO(in_process("history", "export", hostile_run).stdout)))
    assert len(rows) == 70
    assert rows[0]["uuid"].startswith("'=GPU")
    assert float(rows[0]["time_s"]) == T0
    assert (rows[0]["power_mw"], rows[0]["ring"]) == ("100000", "[]")


def test_an_entered_name_is_read_without_the_guard_of_a_spreadsheet(
    in_process: Command, tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("model,gpus,gpu,batch_size,step_time_s\n'=net,1,h100-sxm,1,2\n")
    assert "1 measurement of =net entered" in in_process("history", "add", "--csv", "m.csv").stdout


def test_only_one_module_prints() -> None:
    printing = re.compile(r"click\.s?echo\(|\bprint\(")
    modules = [
        path.name for path in (ROOT / "clusterplan/cli").glob("*.py") if printing.search(path.read_text())
    ]
    assert modules == ["options.py"]
