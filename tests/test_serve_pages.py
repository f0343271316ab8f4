"""The pages in one Chromium: they draw, filter, answer and can be read by everybody, and ask nobody else for anything.

Sources: axe-core's rules (https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md); reflow at
320 to 360 px (https://www.w3.org/TR/WCAG22/#reflow).
"""

import asyncio
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datasette", reason="Datasette is not installed: the extra `serve`")
pytest.importorskip("httpx", reason="httpx is not installed")

from served import HOSTILE, get, make_history, serve, words_of
from served_runs import STEPS, STEPS_DONE, add_runs

from clusterplan.estimator.queue.state import PendingJob, QueueState, RunningJob
from clusterplan.estimator.queue.state import Request as QueueRequest
from clusterplan.launcher.run_folder.final_status import write_final_status
from clusterplan.launcher.run_folder.folder import links_folder
from clusterplan.web.access.gate import ENTRY, HOME
from clusterplan.web.access.keys import Keys
from clusterplan.web.pages.queue import render_queue
from clusterplan.web.site import Site

ESTIMATE = "estimate?samples=1000000&batch_size=32&gpus=1,2,4,8&samples_per_s_per_gpu=5.5&deadline=2d"
PAGES = {
    "overview": "",
    "runs": "runs",
    "run": "run/phi2-0",
    "run that goes on": "run/{open}",
    "hostile run": "run/{hostile}",
    "comparison": "compare?first=phi2-0&second=phi2-1",
    "form": "estimate",
    "estimate": ESTIMATE,
    "sweep": "sweep/{sweep}",
    "plan": "schedule",
    "queue": "queue",
    "gpus": "gpus",
}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_history(tmp_path_factory.mktemp("history") / "history.db")


@pytest.fixture(scope="module")
def runs(history: Path) -> dict[str, str]:
    """The ids of runs with folders, by what they show."""
    return add_runs(history)


@pytest.fixture(scope="module")
def link(history: Path, runs: dict[str, str]) -> Iterator[str]:  # noqa: ARG001  they are served too
    """Serve the application in a thread; return a link that works once."""
    uvicorn = pytest.importorskip("uvicorn")
    from clusterplan.web.server import listen  # noqa: PLC0415  uvicorn

    keys = Keys()
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(serve(history, keys), log_level="error", lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        yield f"http://127.0.0.1:{port}{ENTRY}?token={keys.make_link_token()}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def pages_browser(link: str) -> Iterator[Any]:
    """Start a Chromium that has opened the link."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = started.new_context(
            base_url=link.partition("-/")[0], viewport={"width": 1100, "height": 900}
        )
        page = context.new_page()
        page.goto(link)
        page.wait_for_url(f"**{HOME}")
        page.set_default_timeout(60_000)
        yield page
        started.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_without_an_error_an_outside_request_or_a_fault_of_access(
    pages_browser: Any, link: str, runs: dict[str, str], name: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    faults, requests = list[str](), list[str]()
    pages_browser.on(
        "console", lambda message: faults.append(message.text) if message.type == "error" else None
    )
    pages_browser.on("pageerror", lambda error: faults.append(str(error)))
    pages_browser.on("request", lambda request: requests.append(request.url))
    answer = pages_browser.goto(f"{HOME}{PAGES[name].format_map(runs)}")
    assert answer.status == 200
    for scheme in (
        ("light", "dark") if name in {"runs", "estimate", "hostile run", "plan"} else ("light",)
    ):  # of one style all
        pages_browser.emulate_media(color_scheme=scheme)
        violations = axe.Axe().run(pages_browser).response["violations"]
        assert [v["id"] for v in violations if v["impact"] in {"serious", "critical"}] == []
    pages_browser.set_viewport_size({"width": 360, "height": 800})
    assert pages_browser.evaluate("document.documentElement.scrollWidth") <= 360
    pages_browser.set_viewport_size({"width": 1100, "height": 900})
    assert faults == []
    here = link.partition("-/")[0]
    assert [url for url in requests if not url.startswith((here, "data:"))] == []


def test_hostile_names_are_shown_and_not_run(pages_browser: Any, runs: dict[str, str]) -> None:
    dialogs = list[Any]()

    def dismiss(dialog: Any) -> None:
        dialogs.append(dialog)
        dialog.dismiss()

    pages_browser.on("dialog", dismiss)
    for path in ("", "runs?state=failed", "gpus", f"run/{runs['hostile']}", "run/x-2"):
        pages_browser.goto(f"{HOME}{path}")
        if path.startswith("run/"):
            assert "<script>alert(1)</script>\\x1b[2J" in pages_browser.inner_text("main")
    assert dialogs == []


def test_the_filter_and_the_order_of_runs_work(pages_browser: Any, runs: dict[str, str]) -> None:
    pages_browser.goto(f"{HOME}runs")
    pages_browser.fill("#f-user", "bob")
    pages_browser.select_option("#f-state", "completed")
    pages_browser.click("text=Filter")
    assert pages_browser.locator("tbody tr td:first-child").all_inner_texts() == ["phi2-1"]
    pages_browser.click("text=All")
    for descending in (True, False):
        pages_browser.click("thead >> text=run")
        shown = pages_browser.locator("tbody tr td:first-child").all_inner_texts()
        assert shown == sorted(shown, reverse=descending)
        assert {"phi2-0", "phi2-1", "x-2", "x-3", runs["open"], runs["hostile"]} <= set(shown)


def test_the_form_answers_by_keyboard_alone(pages_browser: Any) -> None:
    pages_browser.goto(f"{HOME}estimate")
    pages_browser.focus("#f-samples")
    for text in ("1000000", "32", "4,8"):
        pages_browser.keyboard.type(text)
        pages_browser.keyboard.press("Tab")
    pages_browser.keyboard.press("Enter")
    pages_browser.wait_for_url("**samples=1000000**")
    assert "3,907" in pages_browser.inner_text("main")  # steps of 8 GPUs
    pages_browser.goto(f"{HOME}{ESTIMATE}")
    assert pages_browser.locator("figure.chart svg.plot").count() == 1


@pytest.mark.parametrize("name", ["hostile run", "sweep", "plan"])
def test_every_control_is_reached_by_keyboard(pages_browser: Any, runs: dict[str, str], name: str) -> None:
    pages_browser.goto(f"{HOME}{PAGES[name].format_map(runs)}")
    controls = pages_browser.evaluate(
        """() => [...document.querySelectorAll("a[href],button,input,select,summary,[tabindex]")].filter(
            each => each.type != "hidden" && each.checkVisibility()).map((each, number) => each.id ||= `control-${number}`)"""
    )
    reached = list[str]()
    for _ in controls:
        pages_browser.keyboard.press("Tab")
        reached.append(pages_browser.evaluate("document.activeElement.id"))
    assert reached == controls


def test_datasettes_own_pages_are_linked_and_hide_blobs(pages_browser: Any) -> None:
    pages_browser.goto(HOME)
    pages_browser.click("text=SQL and tables")
    pages_browser.locator("a[href$='/history/v_runs']").first.wait_for()
    pages_browser.goto(HOME)
    pages_browser.keyboard.press("Tab")
    assert pages_browser.evaluate("document.activeElement.textContent") == "Skip to the page"


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_script_or_a_tag_of_somebody(history: Path, runs: dict[str, str], page: str) -> None:
    answer = get(serve(history), f"{HOME}{PAGES[page].format_map(runs)}")
    assert answer.status_code == 200
    assert "script-src" not in answer.headers["content-security-policy"]  # so default-src 'none' holds
    assert "<script" not in answer.text
    assert "\x1b" not in answer.text
    assert HOSTILE not in answer.text


def test_a_run_that_goes_on_tells_its_steps_its_end_and_its_checkpoint(
    history: Path, runs: dict[str, str]
) -> None:
    said = words_of(get(serve(history), f"{HOME}run/{runs['open']}"))
    assert "running elapsed" in said
    assert f"steps {STEPS_DONE}/{STEPS:,} loss" in said
    assert re.search(r"ends in \d+m( \d+s)? between \S.* and \d\d:\d\d", said)
    assert "checkpoint step 100" in said


def test_a_list_of_runs_that_cannot_be_read_hides_no_page_of_a_run(tmp_path: Path) -> None:
    history = make_history(tmp_path / "history.db")
    (tmp_path / "history.runs").write_text("no folder", encoding="utf-8")
    answer = get(serve(history), f"{HOME}run/x-3")
    assert answer.status_code == 200
    assert "running" in words_of(answer)


def test_the_page_of_a_run_has_the_charts_of_its_report(history: Path, runs: dict[str, str]) -> None:
    page = get(serve(history), f"{HOME}run/{runs['hostile']}").text
    drawn = re.findall(r'<figure class="chart" id="chart-(\w+)"', page)
    assert drawn == ["story", "loss", "speed", "utilisation", "estimate"]


def test_the_plan_is_held_against_what_happened(history: Path, runs: dict[str, str]) -> None:
    answer = get(serve(history), f"{HOME}schedule")
    said = words_of(answer)
    assert "4 jobs: 1 completed, 1 failed, 1 running, 1 not submitted" in said
    assert said.count("expected to end") == 1  # the one that is late
    assert f'href="run/{runs["open"]}"' in answer.text
    drawn = re.findall(r'class="(stretch \w+|limit|chosen)"', answer.text)
    assert {kind: drawn.count(kind) for kind in drawn} == {
        "stretch plan": 4,
        "stretch good": 1,
        "stretch bad": 1,
        "stretch run": 1,
        "stretch wait": 1,
        "limit": 1,
        "chosen": 1,
    }


def test_a_run_leads_to_its_sweep_and_the_sweep_to_its_runs(history: Path, runs: dict[str, str]) -> None:
    application, sweep = serve(history), runs["sweep"]
    run = get(application, f"{HOME}run/{runs['of sweep']}").text
    assert f'href="sweep/{sweep}"' in run
    page = get(application, f"{HOME}sweep/{sweep}")
    assert "3 runs (3 completed)" in words_of(page)
    assert page.text.count(f'href="run/{sweep}') == 3
    assert re.findall(r'<figure class="chart" id="chart-(\w+)"', page.text) == ["loss", "hours"]
    told = get(application, f"{HOME}sweep/{sweep}.json").json()
    assert {run["values"]["lr"] for run in told["runs"]} == {"0.1", "0.01", HOSTILE}


def test_a_slurm_that_does_not_answer_keeps_no_page_of_the_history_waiting(history: Path) -> None:
    async def look() -> list[bool]:
        site, answers = Site(history), threading.Event()
        asked = [
            asyncio.ensure_future(site.recent(name, 60.0, partial(answers.wait, 60.0))) for name in "abcd"
        ]
        await asyncio.sleep(0)
        await site.read("runs", lambda browser: browser.usage())
        answers.set()
        return await asyncio.gather(*asked)

    with ThreadPoolExecutor(1) as pool:  # as in `ask`
        assert pool.submit(lambda: asyncio.run(look())).result() == [True] * 4


def test_the_queue_says_which_jobs_are_held_and_how_many_it_leaves_out() -> None:
    request = QueueRequest(1, 8, 3600.0, ("gpu",))
    held = PendingJob("7", "ann", request, 9.0, 0.0, is_blocked=True)
    array = PendingJob("8_[0-3]", HOSTILE, request, 8.0, 0.0, count=4)
    running = tuple(RunningJob(str(job), "bob", request, ("n1",), 0.0) for job in range(10, 260))
    page = render_queue(QueueState(60.0, (), running, (held, array)))
    said = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "7 ann gpu 8 1h 1m held, or at a limit 8_[0-3]" in said
    assert "gpu 8 1h 1m 4 jobs of an array Running" in said
    assert said.endswith("The first 200 of 250.")
    assert HOSTILE not in page


def test_without_slurm_the_queue_says_where_there_is_one(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = words_of(get(serve(history), f"{HOME}queue"))
    assert said.startswith(
        "Queue There is no Slurm on this machine: sbatch is not found. Run clusterplan serve on"
    )


def test_a_run_that_has_just_ended_says_so_before_the_history_has_its_end(tmp_path: Path) -> None:
    history = make_history(tmp_path / "history.db")
    run = add_runs(history)["open"]
    site = serve(history)
    assert f"{run} running" in words_of(get(site, f"{HOME}run/{run}"))
    write_final_status(links_folder(history) / run, "completed", 0)
    said = words_of(get(site, f"{HOME}run/{run}"))
    assert f"{run} completed" in said
    assert "not submitted by clusterplan" not in said


def test_without_its_history_the_site_is_unavailable(tmp_path: Path) -> None:
    history = make_history(tmp_path / "history.db")
    site = serve(history)
    history.unlink()
    answer = get(site, f"{HOME}runs")
    assert answer.status_code == 503
    assert f"{history}: cannot be read: No such file" in words_of(answer)


def test_without_a_campaign_the_plan_says_how_one_is_made(tmp_path: Path) -> None:
    said = words_of(get(serve(make_history(tmp_path / "history.db")), f"{HOME}schedule"))
    assert "no campaign was submitted: clusterplan schedule CAMPAIGN.toml --submit submits one" in said


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("run/none", 404, "is not in the history"),
        ("sweep/none", 404, "no sweep is called"),
        ("schedule?campaign=%3Cb%3E", 404, "campaign &#x27;&lt;b&gt;&#x27; was not submitted"),
        ("runs?sort=x", 400, "none of began"),
        ("estimate?samples=x&batch_size=1&gpus=1", 400, "--samples"),
        ("compare?first=phi2-0&second=phi2-0", 400, "both are this one run"),
        ("compare?first=phi2-0&second=%3Cb%3E", 400, "&lt;b&gt;"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(history: Path, path: str, status: int, words: str) -> None:
    answer = get(serve(history), f"{HOME}{path}")
    assert (answer.status_code, answer.headers["content-type"][:9]) == (status, "text/html")
    assert words in answer.text
