"""A history with a few runs, hostile names among them, and a client of the application in this process."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from clusterplan.estimator.gpu_use.reading import GpuReading
from clusterplan.estimator.history.runs import History
from clusterplan.web.access.keys import Keys
from clusterplan.web.application import make_application

T = TypeVar("T")

TOKEN = "a-token-for-programs-only"
HOSTILE = "<script>alert(1)</script>\x1b[2J'; DROP TABLE run; --"
T0 = 1_750_000_000.0


def make_history(path: Path) -> Path:
    """Make a history of four runs: two of one model that ended, one that failed, one that goes on."""
    with History(path) as history, history.writing():
        for number, (name, user, model, state) in enumerate(
            (
                ("phi2", "ann", "moe-llava-phi2", "completed"),
                ("phi2", "bob", "moe-llava-phi2", "completed"),
                (HOSTILE, "bob", HOSTILE, "failed"),
                ("qwen", "ann", "qwen", "running"),
            )
        ):
            run, began_s = f"{'phi2' if number < 2 else 'x'}-{number}", T0 + 3600 * number
            history.put_run(
                {
                    "run": run,
                    "name": name,
                    "user": user,
                    "model": model,
                    "state": state,
                    "folder": str(path.with_name(run)),
                    "began_s": began_s,
                    "started_s": began_s + 60,
                    "ended_s": None if state == "running" else began_s + 660,
                    "kind": "submit",
                    **(
                        {}
                        if state == "running"
                        else {"trained_s": 600.0, "steps_planned": 100, "steps_done": 100}
                    ),
                }
            )
            history.put_partition(run, "gpu" if number else "long")
            uuids = [f"GPU-{number}-{place}" for place in range(2)]
            gpus = [
                {"uuid": uuid, "name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 << 30} for uuid in uuids
            ]
            history.put_node(run, "n1", {"period_s": 1.0}, gpus)
            for place, uuid in enumerate(uuids):
                rows = [
                    (began_s + 60 + s, GpuReading(0, utilisation_percent=40 + 30 * place, power_mw=300_000))
                    for s in range(0, 600, 5)
                ]
                history.put_readings(run, "n1.spool", uuid, rows)
            if number < 2:
                history.put_estimate(
                    run,
                    {
                        "created_s": began_s,
                        "source": "given",
                        "source_kind": "given",
                        **{
                            f"wall_clock_{p}_s": 500.0 + 100 * i
                            for i, p in enumerate(("p10", "p50", "p90", "p95"))
                        },
                    },
                )
    return path


def serve(history: Path, keys: Keys | None = None) -> Any:
    """Return the application; the token for programs is `TOKEN`."""
    return make_application(history, keys or Keys(TOKEN))


def ask(application: Any, question: Callable[[Any], Awaitable[T]], *, token: str | None = TOKEN) -> T:
    """Return what a question to a client of the application returns."""
    import httpx  # noqa: PLC0415  of Datasette, an optional extra

    async def run() -> T:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as client:
            return await question(client)

    with ThreadPoolExecutor(1) as pool:  # Playwright has a loop of its own in the thread of the tests
        return pool.submit(lambda: asyncio.run(run())).result()


def get(application: Any, path: str, token: str | None = TOKEN, **more: Any) -> Any:
    """Return the response to a GET."""
    return ask(application, lambda client: client.get(path, **more), token=token)


def post(application: Any, path: str, token: str | None = TOKEN, **more: Any) -> Any:
    """Return the response to a POST."""
    return ask(application, lambda client: client.post(path, **more), token=token)


def words_of(answer: Any) -> str:
    """Return the words of a page's main part, without its charts and their tables."""
    main = answer.text[answer.text.index("<main") :]
    return " ".join(re.sub(r"<(svg|details).*?</\1>|<[^>]+>", " ", main, flags=re.DOTALL).split())
