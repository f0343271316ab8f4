"""The site as `make docs` built it, opened from a file with the network cut, in a browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
SITE = Path(os.environ.get("CLUSTERPLAN_SITE", "nowhere")).absolute()
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.skipif(not SITE.is_dir(), reason="the site is looked at by `make docs`, which builds it"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, offline=True)
    page = context.new_page()
    faults: list[str] = []
    page.on(
        "request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else faults.append(r.url)
    )
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


@pytest.mark.parametrize("name", ["index.html", "how-to/my-run-died.html", "reference/python.html"])
def test_a_page_opens_without_a_network(page: Any, name: str) -> None:
    page.goto((SITE / name).as_uri())
    assert page.locator("article h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1366


def test_search_answers_from_a_file(page: Any) -> None:
    page.goto((SITE / "how-to/submit.html").as_uri())
    page.keyboard.press("Control+k")
    page.locator("input[placeholder=Search]").fill("survive a time limit")
    page.locator("a[href*='survive-a-time-limit.html']").last.wait_for()


def test_commands_fit_and_can_be_copied(page: Any) -> None:
    page.goto((SITE / "how-to/survive-a-time-limit.html").as_uri())
    page.locator(".md-code__button").first.wait_for(state="attached")
    wide = (
        "[...document.querySelectorAll('pre > code')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    )
    assert page.evaluate(wide) == 0
