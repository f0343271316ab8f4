"""Pages are no wider than what they are read on, and lose nothing without a word."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command

from clusterplan.render.layout import Page

JOB = str(ROOT / "examples/moe-llava/seed.toml")

RUNS = [
    ("a-run-20261125T130848-e744", "failed", "exit code 3; no new checkpoint to go on from"),
    ("b", "running", ""),
]


def page(width: Any, fill: Any) -> Any:
    made = Page(width, colour=False)
    fill(made)
    return str(made).splitlines()


def test_text_that_has_little_room_goes_below_its_row() -> None:
    shown = page(60, lambda p: p.table(("run", "state", ""), RUNS))
    assert shown[1:3] == [
        "a-run-20261125T130848-e744  failed",
        "    exit code 3; no new checkpoint to go on from",
    ]
    assert len(shown) == 4


def test_a_row_with_room_keeps_its_text() -> None:
    assert page(90, lambda p: p.table(("run", "state", ""), RUNS))[1].endswith(
        "no new checkpoint to go on from"
    )


def test_no_rows_take_no_line() -> None:
    """As `init` has for a batch script of nothing but zeros."""
    assert page(80, lambda p: p.notes([])) == []


def test_columns_that_do_not_fit_are_left_out_and_named() -> None:
    shown = page(16, lambda p: p.table(("a", "b", "c"), [("1" * 10, "22", "3")], (2,), ("b",)))
    assert shown == ["a           c", "1111111111  3", "(b left out to", "  fit into 16", "  columns)"]


def test_empty_columns_go_first_and_unnamed() -> None:
    shown = page(11, lambda p: p.table(("a", "empty", "c"), [("1" * 5, "", "3")], (2,), ("a",)))
    assert shown == ["a      c", "11111  3"]


def test_no_word_is_broken() -> None:
    shown = page(20, lambda p: p.sentence("see https://example.org/a-long/address-of-a-page and --max-steps"))
    assert "  https://example.org/a-long/address-of-a-page" in shown


def on_terminal(columns: Any, *arguments: Any) -> list[Any]:
    """What the program shows on a terminal."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    program = Path(sys.executable).with_name("clusterplan")
    process = subprocess.Popen([program, *arguments], stdout=writer, stderr=writer)
    os.close(writer)
    seen = b""
    with suppress(OSError):  # as a terminal ends
        while block := os.read(reader, 4096):
            seen += block
    os.close(reader)
    process.wait(60)
    lines = seen.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
    stays = [line.rpartition("\r\x1b[K")[2] for line in lines]  # without what said that it takes long
    return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in stays]


@pytest.mark.parametrize("columns", [80, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "arguments",
    [["profiles", "show", "slurm-a100"], ["estimate", JOB, "--explain"], ["profiles", "check", "x"]],
)
def test_nothing_is_wider_than_the_terminal(columns: int, arguments: list[Any]) -> None:
    assert max(map(len, on_terminal(columns, *arguments))) <= columns


def test_an_error_is_wrapped_on_a_terminal(clusterplan: Command) -> None:
    first, *more = on_terminal(60, "profiles", "check", "no-such-profile")
    assert first.startswith("Error: ")
    assert all(line.startswith("  ") for line in more)
    said = clusterplan("profiles", "check", "no-such-profile").stderr
    assert said.split() == " ".join((first, *more)).split()
    assert said.count("\n") == 1
