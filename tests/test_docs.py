"""The documentation: every command and key is there, every link leads somewhere, every example runs."""

import doctest
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import ROOT, Command

from clusterplan.cli import clusterplan

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def commands(command: Any, context: Any) -> Iterator[tuple[Any, ...]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from commands(inner, click.Context(inner, info_name=name, parent=context))


ALL = dict(commands(clusterplan, click.Context(clusterplan, info_name="clusterplan")))


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help_and_a_place_in_the_reference(path: Path) -> None:
    assert ALL[path].help
    assert f"## {path}\n" in (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ALL)
def test_every_option_has_help(path: Path) -> None:
    command = ALL[path]
    options = [p for p in command.get_params(click.Context(command)) if isinstance(p, click.Option)]
    assert all(option.help for option in options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Any) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_in_python_run(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLUSTERPLAN_HISTORY", "CLUSTERPLAN_RUNS"):  # an example may set them
        monkeypatch.setenv(name, str(tmp_path / name))
    failed, _ = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert not failed


@pytest.mark.parametrize("notebook", [*(ROOT / "examples").glob("*.ipynb")], ids=lambda path: path.name)
def test_notebooks_run_and_store_no_output(notebook: Path, tmp_path: Path) -> None:
    for package in ("nbconvert", "ipykernel"):
        pytest.importorskip(package, reason=f"{package} is not installed, and the notebook needs it")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    convert = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir"]
    done = subprocess.run(
        [*convert, tmp_path, notebook], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    executed = json.loads((tmp_path / notebook.name).read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in executed for output in cell.get("outputs", ())]
    assert [output["output_type"] for output in outputs if output["output_type"] in {"error", "stream"}] == []
    assert any("<table>" in "".join(output.get("data", {}).get("text/html", "")) for output in outputs)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_every_test_that_a_page_names_is_there() -> None:
    there = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))}
    assert {name for name in named if f"def {name}(" not in there} == set()


def test_the_chinese_readme_types_commands_of_the_english_one() -> None:
    english, chinese = (
        {
            line.partition(" # ")[0].strip()
            for block in re.findall(
                r"```console\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL
            )
            for line in block.splitlines()
            if line.startswith("$ ")
        }
        for name in ("README.md", "README.zh.md")
    )
    assert chinese
    assert chinese - english == set()


def test_every_proof_is_there() -> None:
    text = (ROOT / "docs/explanation/proven.md").read_text(encoding="utf-8").partition("[[[cog")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for row in rows:
        proofs = re.findall(r"`(make|tests/|benchmarks/)([^`]+)`", row)
        assert proofs, row
        for kind, name in proofs:
            assert name.split()[0] in targets if kind == "make" else (ROOT / kind / name).is_file(), name


@pytest.mark.parametrize("group", ["history", "profiles"])
def test_help_on_a_narrow_terminal_cuts_no_sentence(in_process: Command, group: str) -> None:
    _, commands = in_process(group, "--help").stdout.split("Commands:\n")
    assert "..." not in commands


@pytest.mark.parametrize(
    "path", [path for path, command in ALL.items() if not isinstance(command, click.Group)]
)
def test_every_command_shows_an_example_and_fits_80_columns(in_process: Command, path: str) -> None:
    lines = in_process(*path.split()[1:], "--help").stdout.splitlines()
    assert [line for line in lines if line.startswith("      ") and path in line]
    assert max(map(len, lines)) <= 80


def test_every_command_is_in_one_section_of_the_help(in_process: Command) -> None:
    lines = in_process("--help").stdout.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line[2:3].islower()]
    assert set(clusterplan.list_commands(click.Context(clusterplan))) <= set(listed)


def test_what_most_people_need_stands_first_in_the_help_of_estimate(in_process: Command) -> None:
    sections = in_process("estimate", "--help").stdout.split("\n\n")
    titles = [text.partition(":")[0] for text in sections if text.splitlines()[0].endswith(":")]
    assert titles[-8:] == [
        "Common options",
        "Data",
        "Training",
        "Speed",
        "Model",
        "Cluster",
        "Question",
        "Output",
    ]
    common = next(text for text in sections if text.startswith("Common options:"))
    assert common.count("\n  --") == 7


@pytest.mark.parametrize("path", ALL)
def test_help_on_a_narrow_terminal_tears_no_example(in_process: Command, path: str) -> None:
    lines = in_process(*path.split()[1:], "--help").stdout.splitlines()
    assert not [line for line in lines if line.startswith("      clusterplan ") and line.endswith("-")]


@pytest.mark.parametrize(("name", "meant"), [("ps", "status"), ("run", "submit"), ("help", "--help")])
def test_a_word_of_other_programs_is_answered_with_ours(in_process: Command, name: str, meant: str) -> None:
    done = in_process(name)
    assert done.returncode == 2
    assert f"No such command '{name}'; did you mean '{meant}'?" in done.stderr


def test_the_walks_name_functions_that_are_there() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"\| `(\w+)` \| `([\w/]+\.py)` \|", text)
    assert len(steps) == text.count(".py` |")
    assert not [
        (name, file)
        for name, file in steps
        if not re.search(rf"^ *(def|class) {name}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]


def shown_commands(page: Path) -> Iterator[list[str]]:
    """The arguments of each `clusterplan` that a block of commands of the page types."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ clusterplan "):
                words = shlex.split(line.removeprefix("$ clusterplan "), comments=True)
                yield [
                    "." if word.endswith("/*") else word for word in words
                ]  # as a shell would find a folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_types_is_one(page: Path) -> None:
    """Commands that need a cluster or a run are not run here, but each name, option and value is read."""
    for words in shown_commands(page):
        command: Any = clusterplan
        context = click.Context(command, info_name="clusterplan")
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)  # noqa: PLW2901  what is left of it
            context = click.Context(command, info_name=name, parent=context)
        command.make_context(name, words, parent=context.parent)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()
    (folder / "docs").mkdir(exist_ok=True)
    return subprocess.run(["make", "-n", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def write_old_python(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.10.13; fi\n', encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    write_old_python(tmp_path / "old/python3")
    done = make(tmp_path, "demo", "PYTHON=old/python3")
    assert done.returncode
    assert "PYTHON=old/python3 is Python 3.10.13; clusterplan needs Python 3.11 or newer" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_environment_of_an_old_python_is_made_anew(tmp_path: Path) -> None:
    write_old_python(tmp_path / ".venv/bin/python")
    (tmp_path / ".venv/installed").touch()
    done = make(tmp_path, "demo", f"PYTHON={sys.executable}")
    assert "rm -rf .venv\n" in done.stdout
    assert f"{sys.executable} -m venv .venv" in done.stdout
