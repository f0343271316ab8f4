"""The API answers what the command line prints with `--json`, and refuses in one line.

Source: OpenAPI 3.1, https://spec.openapis.org/oas/v3.1.0; the requests are made by schemathesis,
https://schemathesis.readthedocs.io.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

pytest.importorskip("datasette", reason="Datasette is not installed: the extra `serve`")
pytest.importorskip("httpx", reason="httpx is not installed")

from served import HOSTILE, TOKEN, get, make_history, post, serve
from served_runs import add_campaign

from clusterplan.api.campaign.progress import look_at_campaign
from clusterplan.web.access.gate import ESTIMATE, HOME

JOB: dict[str, Any] = {
    "name": "phi2",
    "data": {"samples": 1_000_000},
    "training": {"batch_size": 32, "gpus": 8},
    "throughput": {"samples_per_s": 44.3},
}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_history(tmp_path_factory.mktemp("history") / "history.db")
    add_campaign(path, {})
    return path


@pytest.fixture(scope="module")
def application(history: Path) -> Any:
    return serve(history)


def error(answer: Any) -> str:
    """Return the one line of an error."""
    assert answer.headers["content-type"].startswith("application/json")
    (line,) = answer.json().values()
    assert "\n" not in line
    return str(line)


def test_runs_are_those_of_history_list(
    application: Any, history: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(history))
    for address, flags in (
        ("", ()),
        ("?model=phi2", ("--model", "phi2")),
        ("?since=2030-01-01", ("--since", "2030-01-01")),
    ):
        printed = json.loads(in_process("history", "list", *flags, "--json").stdout)
        assert get(application, f"{HOME}runs.json{address}").json() == printed


def test_a_report_is_that_of_report(
    application: Any, history: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(history))
    printed = json.loads(in_process("report", "phi2-0", "--json").stdout)
    assert get(application, f"{HOME}run/phi2-0.json").json() == printed


def test_the_accuracy_is_that_of_history_accuracy(
    application: Any, history: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(history))
    printed = json.loads(in_process("history", "accuracy", "--json").stdout)
    assert get(application, f"{HOME}accuracy.json").json() == printed
    assert printed["all"]["wall_clock"]["runs"] >= 0


def test_estimates_of_a_job_and_of_flags_are_those_of_estimate(application: Any, in_process: Command) -> None:
    flags = {
        "samples": "1_000_000",
        "batch_size": "32",
        "gpus": "8",
        "samples_per_s": "44.3",
        "deadline": "12h",
    }
    options = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]
    printed = json.loads(in_process("estimate", *options, "--json").stdout)
    assert get(application, ESTIMATE, params=flags).json() == printed
    answer = post(application, f"{ESTIMATE}?deadline=12h", json={k: v for k, v in JOB.items() if k != "name"})
    assert answer.json()["gpu_hours"] == printed["gpu_hours"]


def test_several_shapes_are_a_table(application: Any) -> None:
    assert len(post(application, f"{ESTIMATE}?gpus=2,4,8", json=JOB).json()["shapes"]) == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"[1]", "must be a job"),
        (b'{"data": {"samples": NaN}}', "NaN"),
        (b"[" * 60_000, "no JSON"),
        (b'{"data": 3}', "data"),
        (b'{"nothing": {"x": 1}}', "nothing"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_a_body_that_is_no_job_is_one_line(application: Any, body: bytes, words: str) -> None:
    answer = post(application, ESTIMATE, content=body)
    assert answer.status_code == 400
    assert words in error(answer)


@pytest.mark.parametrize("place", ["body", "query"])
def test_a_profile_that_is_a_path_is_not_read(application: Any, tmp_path: Path, place: str) -> None:
    """A file of the server's user whose first line an error message would show."""
    secret = tmp_path / "secret.toml"
    secret.write_text("password-of-ann = nothing", encoding="utf-8")
    if place == "body":
        answer = post(application, ESTIMATE, json=JOB | {"cluster": {"profile": str(secret)}})
    else:
        answer = post(application, ESTIMATE, params={"profile": str(secret)}, json=JOB)
    assert answer.status_code == 400
    assert "password" not in error(answer)
    assert "is not known here" in error(answer)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("colour=red", "'colour' is no key"),
        ("sort=run; DROP TABLE run", "none of began"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=99999", "limit"),
        ("since=yesterdayish", "since"),
        ("name=" + "x" * 600, "too many"),
        ("name=%ff", "UTF-8"),
        ("&".join(f"a{n}=1" for n in range(200)), "fields"),
    ],
)
def test_a_wrong_query_is_one_line(application: Any, query: str, words: str) -> None:
    answer = get(application, f"{HOME}runs.json?{query}")
    assert answer.status_code == 400
    assert words in error(answer)


def test_sql_in_a_filter_is_text(application: Any) -> None:
    assert get(application, f"{HOME}runs.json", params={"name": "' OR 1=1 --"}).json() == []
    (run,) = get(application, f"{HOME}runs.json", params={"name": HOSTILE}).json()
    assert run["name"] == HOSTILE


def test_runs_come_page_by_page(application: Any) -> None:
    whole = get(application, f"{HOME}runs.json?sort=utilisation&order=asc").json()
    parts = [
        get(application, f"{HOME}runs.json?sort=utilisation&order=asc&limit=1&offset={n}") for n in range(4)
    ]
    assert [run for part in parts for run in part.json()] == whole
    assert {part.headers["x-total-count"] for part in parts} == {"4"}


def test_the_schedule_is_that_of_replan(application: Any, history: Path) -> None:
    progress = look_at_campaign(history, "papers")
    told = get(application, f"{HOME}schedule.json").json()
    assert told == json.loads(json.dumps(progress.as_dict()))
    assert [(job["job"], job["state"], job["run"]) for job in told["jobs"]] == [
        ("third", "not submitted", None)
    ]
    none = get(application, f"{HOME}schedule.json?campaign=None")
    assert none.status_code == 404
    assert "campaign 'None' was not submitted" in error(none)


def test_a_run_that_is_not_there_is_404(application: Any) -> None:
    answer = get(application, f"{HOME}run/none.json")
    assert (answer.status_code, error(answer)) == (404, "run 'none' is not in the history")


def test_a_deadline_without_a_throughput_is_422(application: Any) -> None:
    job = {name: table for name, table in JOB.items() if name != "throughput"}
    assert post(application, f"{ESTIMATE}?deadline=2d", json=job).status_code == 422


def test_metrics_can_be_scraped(application: Any) -> None:
    """Each line is a comment or `name{labels} value`; a name with a quote or a line break stays in its line."""
    answer = get(application, f"{HOME}metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'clusterplan_runs{state="completed"} 2' in lines
    assert all(line.startswith("#") or float(line.rpartition(" ")[2]) >= 0 for line in lines)
    assert any(line.startswith('clusterplan_gpu_hours{user="ann",partition="long"} 0.3') for line in lines)


def test_the_api_is_what_its_openapi_document_says(application: Any) -> None:
    """Schemathesis makes a few requests per operation from the document, in this process, and checks each answer."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    hypothesis = pytest.importorskip("hypothesis")
    known = pytest.importorskip("schemathesis.specs.openapi.checks")
    # That a text is a flag's value, no schema says: so 400 is an answer to any request.
    checks = (
        known.status_code_conformance,
        known.content_type_conformance,
        known.response_schema_conformance,
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    schema = schemathesis.openapi.from_asgi(f"{HOME}openapi.json", application, headers=headers)
    for result in schema.get_all_operations():
        operation = result.ok()

        def check(case: Any) -> None:
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=checks)

        given = hypothesis.given(case=operation.as_strategy())
        hypothesis.settings(
            max_examples=8,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],  # on a busy machine
        )(given(check))()
