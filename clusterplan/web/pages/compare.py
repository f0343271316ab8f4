"""Two runs side by side."""

from ...api.history.comparison import Comparison, compare_in
from ...errors import InputError
from ...estimator.history.browse.browser import HistoryBrowser
from ..answer import Answer
from ..api.answers import NotFound, Request
from ..site import Site
from .frame import page, terminal
from .html import field, link, run_address, tag


async def show_comparison(site: Site, request: Request) -> Answer:
    """Answer which of two runs is faster, whether that is more than chance, and what differs."""
    query = request.query
    query.check_keys(("first", "second"))
    ids = query.get("first", "").strip(), query.get("second", "").strip()

    def question(history: HistoryBrowser) -> Comparison:
        for run in ids:
            if not history.has_run(run):
                raise NotFound(f"run {run[:200]!r} is not in the history")
        return compare_in(history, history.run(ids[0]), history.run(ids[1]))

    form = tag(
        "form",
        field("first", "Run", ids[0]),
        field("second", "Other run", ids[1]),
        tag("p", tag("button", "Compare", type="submit")),
        class_="fields",
        action="compare",
    )
    if not all(ids):
        return page("Compare two runs", "runs", form, database=site.database)
    try:
        answer = await site.read(("compare", ids), question)
    except InputError as error:
        return page(
            "Compare two runs",
            "runs",
            form,
            tag("p", str(error), class_="callout bad", role="alert"),
            database=site.database,
            status=400,
        )
    links = tag("p", link(run_address(ids[0]), ids[0]), " · ", link(run_address(ids[1]), ids[1]))
    return page("Compare two runs", "runs", form, links, terminal(answer), database=site.database)
