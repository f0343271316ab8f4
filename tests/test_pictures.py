"""The pictures of README and pages, as `make pictures` drew them."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

from clusterplan.estimator.ranges import Range
from clusterplan.render.charts.figure import render_picture
from clusterplan.render.charts.range_chart import ScalingPoint, draw_scaling

PICTURES = sorted((ROOT / "docs/pictures").iterdir())
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
TEXT = "".join(page.read_text(encoding="utf-8") for page in PAGES)
MOST_BYTES = 150_000
SHORTEST_ALT = 40  # characters: less says no more than the title


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_a_page_shows_it_in_words_too(picture: Path) -> None:
    assert picture.stat().st_size <= MOST_BYTES
    described = re.findall(rf"!\[([^\]]*)\]\([\w./]*pictures/{re.escape(picture.name)}\)", TEXT)
    assert described
    assert min(map(len, described)) >= SHORTEST_ALT


@pytest.mark.parametrize(
    "picture", [path for path in PICTURES if path.suffix == ".svg"], ids=lambda path: path.name
)
def test_a_picture_asks_for_nothing_and_names_no_place_of_its_maker(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert "<script" not in text
    assert re.findall(r"(?:href|src)=|url\((?!#)|@import|@font-face", text) == []
    assert re.findall(r"/(?:tmp|home|root|work)/", text) == []


def test_the_legend_of_a_picture_shows_an_area_for_a_range_and_a_line_for_a_median() -> None:
    points = [ScalingPoint(gpus, Range(1.0, 2.0, 3.0)) for gpus in (1, 2)]
    text = render_picture(draw_scaling("k", "time by GPUs", points, "days"))
    assert re.search(r'<path class="s0" d="M0 0h18"/><text[^>]*>P50<', text)
    assert re.search(r'<path class="stretch band" d="M\d+ -5h18v10h-18Z"/><text[^>]*>P10 to P90<', text)
