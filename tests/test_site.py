"""The site as `make docs` built it, opened from a file with the network cut, in a browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
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
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page 1366 pixels wide and light, or as a test says."""
    width, scheme = getattr(request, "param", (1366, "light"))
    context = browser.new_context(viewport={"width": width, "height": 768}, color_scheme=scheme, offline=True)
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


def test_the_copy_button_takes_commands_without_prompts_and_output(page: Any) -> None:
    page.add_init_script(
        "addEventListener('copy', () => { window.copied = document.activeElement.value }, true)"
    )
    page.goto((SITE / "how-to/my-run-died.html").as_uri())
    page.locator(".md-code__button").first.click()
    page.wait_for_function("window.copied")
    assert page.evaluate("window.copied") == "clusterplan status four\nclusterplan resume four"


@pytest.mark.parametrize("page", [(1366, "light"), (360, "dark")], indirect=True, ids=str)
@pytest.mark.parametrize("name", ["index.html", "how-to/submit.html", "explanation/accuracy.html"])
def test_axe_finds_nothing_serious(page: Any, name: str) -> None:
    page.goto((SITE / name).as_uri())
    page.locator("article h1").wait_for()
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("name", ["index.html", "how-to/submit.html", "how-to/mail-a-report.html"])
def test_the_pictures_of_a_page_are_there(page: Any, name: str) -> None:
    page.goto((SITE / name).as_uri())
    pictures = page.locator("article img")
    assert pictures.count()
    assert pictures.evaluate_all("all => all.filter(one => !one.complete || !one.naturalWidth).length") == 0


def test_the_next_page_is_one_link_away_and_leads_back(page: Any) -> None:
    page.goto((SITE / "how-to/submit.html").as_uri())
    page.locator("a.md-footer__link--next").click()
    page.wait_for_url("**/how-to/survive-a-time-limit.html")
    page.locator("a.md-footer__link--prev").click()
    page.wait_for_url("**/how-to/submit.html")


def test_the_first_key_leads_past_the_navigation(page: Any) -> None:
    page.goto((SITE / "how-to/submit.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.md-skip')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/how-to/submit.html#*")
