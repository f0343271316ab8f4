"""Charts are well-formed SVG that says in words and in a table what it draws, whatever the texts in it are.

Names of runs and lines of logs are text of others (OWASP, Cross Site Scripting Prevention:
https://cheatsheetseries.owasp.org/cheatsheets/Cross_Site_Scripting_Prevention_Cheat_Sheet.html).
"""

import base64
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from clusterplan.estimator.ranges import Range
from clusterplan.render.charts.band_chart import Band, Mark, draw_band
from clusterplan.render.charts.bar_chart import Bar, draw_bars
from clusterplan.render.charts.figure import Figure, render_figure, render_picture
from clusterplan.render.charts.gantt_chart import MOST_JOBS, JobBars, draw_gantt
from clusterplan.render.charts.line_chart import Line, Lines, draw_lines
from clusterplan.render.charts.range_chart import RangeRow, ScalingPoint, draw_range_rows, draw_scaling
from clusterplan.render.charts.state_chart import StateRow, Stretch, draw_states
from clusterplan.render.pages.document import render_document

HOSTILE = "</svg><script>alert(1)</script>\x1b[2J'\"&]]>\u202e{{7*7}}' OR 1=1 --"
RANGE = Range(80.0, 100.0, 150.0)


def band(name: str = "GPU 3", values: tuple[float | None, ...] = (50.0, None, 70.0)) -> Figure:
    chart = Band(
        "utilisation", name, "%", (0, 60, 120), values, (80.0, None, 90.0), (99.0, None, 99.0), 180.0, 8
    )
    worst = ((name, values),)
    return draw_band(
        Band(**{**vars(chart), "worst": worst, "full": 100.0}), [Mark(60, 120, "1", name)], [name]
    )


def figures(name: str) -> dict[str, Figure]:
    stretch = Stretch(0, 600, "bad", name, name)
    return {
        "band": band(name),
        "lines": draw_lines(
            Lines("loss", name, "s", (Line(name, ((0, 3.0), (10, None), (20, 1.0)), True),), (name,))
        ),
        "ranges": draw_range_rows("estimates", name, [RangeRow(name, RANGE, 120.0), RangeRow(name, RANGE)]),
        "scaling": draw_scaling(
            "scaling", name, [ScalingPoint(8, RANGE), ScalingPoint(16, RANGE, True)], "h", 90, name
        ),
        "states": draw_states(
            "story", name, [StateRow(name, [stretch]), StateRow(name, [])], 600, [("bad", name)]
        ),
        "gantt": draw_gantt(
            "plan",
            name,
            [
                JobBars(name, name, "bad", (0.0, 60.0), (5.0, 50.0), None, 70.0),
                JobBars("b", "", "run", (60, 90)),
            ],
            40.0,
            lambda time_s: f"{time_s:.0f} s",
        ),
        "bars": draw_bars("use", name, "GPU-hours", [Bar(name, 5.0, 0.2), Bar("other", 0.0)], name),
    }


KINDS = sorted(figures(""))


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_is_well_formed_and_escapes_what_others_wrote(kind: str) -> None:
    figure = figures(HOSTILE)[kind]
    for text in (render_figure(figure), render_picture(figure)):
        ET.fromstring(text)  # noqa: S314  ours
        assert "<script" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_says_its_title_and_its_values_to_a_screen_reader(kind: str) -> None:
    root = ET.fromstring(render_figure(figures("Throughput")[kind]))  # noqa: S314  ours
    (svg,) = root.findall("./div/svg")
    assert svg.get("role") == "img"
    assert (svg.get("aria-label") or "").startswith("Throughput. ")
    assert len(root.findall(".//tbody/tr")) >= 1


def test_a_line_is_broken_where_nothing_is_known() -> None:
    drawing = band().drawing
    (line,) = re.findall(r'class="s1" d="([^"]*)"', drawing)
    assert line.count("M") == 2


def job_bars(number: int, *was: float | None) -> JobBars:
    begin_s, end_s = was or (None, None)
    happened = None if begin_s is None else (begin_s, end_s)
    return JobBars(f"job {number}", "", "run", (0.0, 3600.0), happened, left_s=600.0)


def test_of_many_jobs_those_that_go_on_are_drawn_and_the_table_has_all() -> None:
    jobs = [job_bars(number, 0.0, float(number)) for number in range(1, MOST_JOBS + 9)] + [job_bars(999)]
    figure = draw_gantt("plan", "Plan", jobs, 1800.0, str)
    drawn = re.findall(r">(job \d+):", figure.drawing)
    assert drawn == [f"job {number}" for number in (*range(10, MOST_JOBS + 9), 999)]
    assert len(figure.values.rows) == MOST_JOBS + 9
    assert figure.remarks == ["9 more jobs are in the table alone."]


def test_a_deadline_long_after_all_jobs_does_not_press_them_together() -> None:
    job = replace(job_bars(1, 0.0, None), deadline_s=1e6)
    figure = draw_gantt("plan", "Plan", [job], 1800.0, str)
    assert [kind for kind, _ in figure.legend] == ["plan", "run", "wait", "chosen"]
    (planned, ran, left) = re.findall(r'x="([^"]*)"[^>]*width="([^"]*)"', figure.drawing)
    assert (planned, ran, left) == (("0", "1000"), ("0", "500"), ("500", "166.7"))


def test_a_chart_saves_its_values_as_csv_that_no_spreadsheet_runs() -> None:
    figure = draw_bars("use", "Use", "GPU-hours", [Bar("=cmd|'/c calc'!A1", 5.0)])
    (text,) = re.findall(r"base64,([^\"]*)", render_figure(figure))
    assert base64.b64decode(text).decode() == "\"\",GPU-hours\n'=cmd|'/c calc'!A1,5\n".replace('""', "", 1)


def test_without_a_value_a_chart_says_so() -> None:
    assert band(values=(None, None, None)).summary.startswith("Mean")
    empty = Band("power", "Power", "W", (), (), (), (), 60.0, 1)
    assert draw_band(empty).summary == "No value is known."


def test_a_page_runs_its_own_script_alone() -> None:
    page = render_document(HOSTILE, "<main></main>", {"gpus": {"names": [HOSTILE]}})
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.count("</script>") == 2  # the island and the script
    assert "alert(1)</" not in page
