"""What the pages make of the history: once for all who ask, anew when it changes, and of a history that is only read."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("datasette")

from served import T0, get, make_history, serve

from clusterplan.estimator.history.browse.browser import HistoryBrowser
from clusterplan.estimator.history.runs import History
from clusterplan.web.api.answers import read_usage
from clusterplan.web.server import prepare_history
from clusterplan.web.site import Site

_NOBODY = 65534  # an id that owns no file


def test_fifty_who_ask_at_once_get_one_answer(tmp_path: Path) -> None:
    site, asked = Site(make_history(tmp_path / "history.db")), list[str]()
    os.utime(site.history, (T0, T0))  # a file that has not changed for long

    def question(history: HistoryBrowser) -> list[str]:
        asked.append("once")
        return [run["run"] for run in history.runs()]

    async def ask() -> list[list[str]]:
        return await asyncio.gather(*(site.read("runs", question) for _ in range(50)))

    answers = asyncio.run(ask())
    assert len(answers) == 50
    assert all(answer is answers[0] for answer in answers)
    assert asked == ["once"]


def test_what_was_written_is_in_the_next_answer(tmp_path: Path) -> None:
    site = Site(make_history(tmp_path / "history.db"))

    async def ask() -> list[int]:
        counts = []
        for number in range(3):
            counts.append(len(await site.read("runs", lambda history: history.runs())))
            with History(site.history) as history, history.writing():
                new = {"run": f"new-{number}", "name": "new", "kind": "submit", "folder": "/runs"}
                history.put_run({**new, "began_s": T0, "state": "pending"})
        return counts

    assert asyncio.run(ask()) == [4, 5, 6]


def test_what_is_made_of_values_is_made_again_when_they_change(tmp_path: Path) -> None:
    site, made = Site(tmp_path / "history.db"), list[str]()

    def write(words: str) -> str:
        made.append(words)
        return words.upper()

    async def ask() -> list[str]:
        return [await site.make("page", write, words) for words in ("a", "a", "b", "b", "a")]

    assert asyncio.run(ask()) == ["A", "A", "B", "B", "A"]
    assert made == ["a", "b", "a"]


def test_the_last_seven_days_move_on_with_the_clock(tmp_path: Path) -> None:
    site = Site(make_history(tmp_path / "history.db"))

    async def ask() -> list[int]:
        sums = [await read_usage(site, "7d", T0 + later_s) for later_s in (0, 60, 3660)]
        return [sum(each.runs for each in usage) for usage in sums]

    assert asyncio.run(ask()) == [4, 3, 2]


@contextmanager
def be_somebody_else() -> Iterator[None]:
    """Be a user who owns nothing, where the tests run as root, whom no mode of a file holds."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_history_that_may_only_be_read_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ["/-/clusterplan/", "/-/clusterplan/runs", "/-/clusterplan/run/phi2-0", "/-/clusterplan/metrics"]
    with tempfile.TemporaryDirectory() as scratch:  # which others may enter, unlike pytest's own
        folder = Path(scratch)
        for name in ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
            monkeypatch.setenv(name, scratch)
        history = make_history(folder / "history.db")
        before = hashlib.sha256(history.read_bytes()).hexdigest()
        assert prepare_history(history)  # by its owner
        writable = serve(history)
        assert {get(writable, path).status_code for path in paths} == {200}
        history.chmod(0o444)
        folder.chmod(0o555)
        with be_somebody_else():
            is_kept_fresh = prepare_history(history)
            application = serve(history)
            answers = [get(application, path) for path in paths]
        folder.chmod(0o755)
        assert not is_kept_fresh
        assert {answer.status_code for answer in answers} == {200}
        assert list(folder.iterdir()) == [history]
        assert hashlib.sha256(history.read_bytes()).hexdigest() == before
