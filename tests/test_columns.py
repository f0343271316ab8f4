"""The columns that text takes: Chinese, accents, joined emoji, in tables that wrap and in a frame of `watch`.

The measure is `rich.cells`, Unicode's East Asian Width (UAX #11) with its emoji sequences (UTS #51).
"""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from clusterplan.launcher.run_folder.progress.progress import Progress
from clusterplan.launcher.runs.run_status import RunStatus
from clusterplan.launcher.runs.state import RunState, State
from clusterplan.render import columns
from clusterplan.render.columns import columns_of, shorten_middle, wrap, wrap_cell
from clusterplan.render.layout import Page
from clusterplan.render.runs.watch_text import write_frame

SCIENTIST = "\U0001f469\u200d\U0001f52c"  # woman, joiner, microscope
HEART = "\u2764\ufe0f"  # a narrow sign that the selector makes a wide emoji
ACCENT = "re\u0301seau"
FLAG = "\U0001f1e8\U0001f1f3"
NAMES = [
    "训练-视频理解",
    f"{SCIENTIST}-lab",
    f"{HEART}-run",
    ACCENT,
    FLAG,
    "학습-모델",
    "कि-हिन्दी",
    "ﾊﾝｶｸ",
    "net",
]
CHINESE = "显存不足，请把批大小减半；梯度累积步数加倍后总批大小不变。CUDA out of memory on rank 3"  # noqa: RUF001


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_as_wide_as_rich_says(name: str) -> None:
    assert columns_of(name) == cell_len(name)


def test_every_letter_that_is_counted_as_one_column_is_one() -> None:
    narrow = [letter for letter in map(chr, range(0x10000)) if columns._NARROW.fullmatch(letter)]
    assert len(narrow) > 900
    assert {letter for letter in narrow if cell_len(letter) != 1} == set()


@pytest.mark.parametrize("width", [12, 20, 40])
@pytest.mark.parametrize("text", [CHINESE, " ".join(NAMES), CHINESE + SCIENTIST * 30])
def test_wrapped_text_stays_within_its_columns_and_loses_nothing(text: str, width: int) -> None:
    for lines in (wrap(text, width), wrap_cell(text, width)):
        assert max(map(cell_len, lines)) <= width
        assert "".join("".join(lines).split()) == "".join(text.split())


def test_no_line_begins_with_a_comma_or_a_full_stop() -> None:
    for width in range(10, 40):
        assert not [line for line in wrap(CHINESE, width) if line.strip()[:1] in "\uff0c\uff1b\u3002"]


def test_latin_words_in_chinese_text_stay_whole() -> None:
    assert {"CUDA", "memory"} <= set(" ".join(wrap(CHINESE, 12)).replace("。", "。 ").split())


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_of_such_names_and_texts_fits_and_its_columns_stand_straight(width: int) -> None:
    page = Page(width, colour=False)
    page.table(("run", "state", "why"), [(name, "failed", CHINESE) for name in NAMES])
    lines = str(page).splitlines()
    assert max(map(cell_len, lines)) <= width
    starts = {cell_len(line[: line.index("failed")]) for line in lines if "failed" in line}
    assert len(starts) == 1


@pytest.mark.parametrize("width", [40, 80])
def test_a_frame_of_such_names_fits(width: int) -> None:
    at = RunStatus(
        "", Path("r"), RunState(State.RUNNING, CHINESE, 0.0, None), "1", 1, Progress(12_400, 1_203_750)
    )
    runs = [replace(at, run=f"{name}{name * 3}-20261128T101500-0a1b") for name in NAMES]
    page = Page(width, colour=False)
    write_frame(page, runs, {}, {}, time.time(), "q: leave")
    lines = str(page).splitlines()
    assert max(map(cell_len, lines)) <= width
    rows = [line for line in lines if "running  " in line and "pending" not in line]
    assert len({cell_len(row[: row.index("running")]) for row in rows}) == 1
    assert len(rows) == len(NAMES)


@pytest.mark.parametrize("name", [name * 6 for name in NAMES])
def test_a_name_that_is_cut_keeps_both_ends(name: str) -> None:
    short = shorten_middle(name, 11)
    assert cell_len(short) <= 11
    assert "…" in short
    assert name.startswith(short.split("…")[0])
    assert name.endswith(short.split("…")[1])
