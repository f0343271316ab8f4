"""The gate before the pages: on a login node every user reaches the port, and every site a browser.

Sources: a token in the URL that works once and a cookie in its place, as Datasette's `--root` has it
(https://docs.datasette.io/en/stable/authentication.html); SameSite and Sec-Fetch-Site as in
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site.
"""

import hashlib
import re
import select
import signal
import socket
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any
from urllib.request import Request, urlopen

import pytest
from conftest import Command

pytest.importorskip("datasette", reason="Datasette is not installed: the extra `serve`")
pytest.importorskip("httpx", reason="httpx is not installed")

from served import TOKEN, ask, get, make_history, post, serve

from clusterplan.web.access.gate import ENTRY, ESTIMATE, HOME, MOST_BODY_BYTES
from clusterplan.web.access.keys import Keys, Refusal

RUNS = f"{HOME}runs.json"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_history(tmp_path_factory.mktemp("history") / "history.db")


@pytest.fixture(scope="module")
def application(history: Path) -> Any:
    return serve(history)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        HOME,
        RUNS,
        "/history",
        "/history/run.json",
        "/-/static/app.css",
        "/-/metadata.json",
        "/none",
        ENTRY,
    ],
)
def test_without_a_token_nothing_is_answered_but_how_to_get_one(application: Any, path: str) -> None:
    answer = get(application, path, token=None)
    assert answer.status_code == 401
    assert "clusterplan serve" in answer.text
    assert "phi2" not in answer.text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", "é" * 30])
def test_a_wrong_token_of_a_program_is_refused(application: Any, token: str) -> None:
    headers = {"authorization": f"Bearer {token}".encode()}
    assert get(application, RUNS, token=None, headers=headers).status_code == 401


def test_without_a_token_file_no_token_lets_a_program_in(history: Path) -> None:
    application = serve(history, Keys())
    assert get(application, RUNS, token="None").status_code  # noqa: S106  no password == 401


def test_a_link_opens_the_pages_once(history: Path) -> None:
    keys = Keys()
    link = f"{ENTRY}?token={keys.make_link_token()}"

    async def browse(client: Any) -> None:
        first = await client.get(link)
        cookie = first.headers["set-cookie"]
        assert (first.status_code, HOME in first.text) == (200, True)
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert (await client.get(RUNS)).status_code == 200  # with the cookie
        client.cookies.clear()
        replayed = await client.get(link)
        assert replayed.status_code == 401
        assert "works once" in replayed.text
        assert "kill -USR1" in replayed.text
        assert "set-cookie" not in replayed.headers

    ask(serve(history, keys), browse, token=None)


@pytest.mark.parametrize("token", ["wrong", "", "a" * 5000, "%00", "&token=&token=" * 20])
def test_a_wrong_link_opens_nothing(application: Any, token: str) -> None:
    answer = get(application, f"{ENTRY}?token={token}", token=None)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


@pytest.mark.parametrize("value", ["", "x", "x.y", ".", "é.é", '"', "a.b.c"])
def test_a_forged_cookie_is_refused(application: Any, value: str) -> None:
    headers = {"cookie": f"clusterplan_0={value}".encode()}
    assert get(application, RUNS, token=None, headers=headers).status_code == 401


def test_a_cookie_of_an_earlier_start_opens_nothing(history: Path) -> None:
    earlier = Keys()
    session = earlier.exchange(earlier.make_link_token())
    headers = {"cookie": f"clusterplan_0={session}"}
    assert get(serve(history, earlier), RUNS, token=None, headers=headers).status_code == 200
    assert get(serve(history, Keys()), RUNS, token=None, headers=headers).status_code == 401


def test_a_token_that_nobody_made_is_not_one_that_was_used() -> None:
    assert Keys().exchange("x") is Refusal.UNKNOWN


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
    ],
)
def test_a_page_of_another_site_that_posts_is_refused(application: Any, headers: dict[str, str]) -> None:
    job = {"data": {"samples": 10}, "training": {"batch_size": 1, "gpus": 1}}
    assert post(application, ESTIMATE, headers=headers, json=job).status_code == 403
    own = {"sec-fetch-site": "same-origin", "origin": "http://localhost"}
    assert post(application, ESTIMATE, headers=own, json=job).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize(
    "path", ["/history/run/-/insert", "/history/-/create", "/-/logout", RUNS, "/history"]
)
def test_no_request_that_may_write_is_let_through(application: Any, method: str, path: str) -> None:
    """Datasette 1.0 has a JSON API that writes: https://docs.datasette.io/en/latest/json_api.html."""
    answer = ask(application, lambda client: client.request(method, path, json={"row": {"run": "x"}}))
    assert answer.status_code == 405


def test_a_large_body_is_refused_before_it_is_read(application: Any) -> None:
    large = b" " * (MOST_BODY_BYTES + 1)
    assert post(application, ESTIMATE, content=large).status_code == 413

    async def chunks() -> Any:  # of no stated length
        for _ in range(3):
            yield b" " * (MOST_BODY_BYTES // 2)

    assert post(application, ESTIMATE, content=chunks()).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/-/static/../../../../etc/passwd",
        "/-/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        f"{HOME}run/..%2f..%2fetc%2fpasswd.json",
        f"{HOME}../../etc/passwd",
        f"{HOME}run/%00.json",
        "/../../etc/passwd",
        "/history/run.json?_shape=/etc/passwd",
    ],
)
def test_a_path_leads_to_no_file(application: Any, path: str) -> None:
    answer = get(application, path)
    assert answer.status_code in {400, 404}
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH DATABASE '/etc/passwd' AS other",
        "DELETE FROM run",
        "UPDATE run SET user = 'x'",
        "PRAGMA journal_mode = WAL",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
        "select 1; DROP TABLE run",
    ],
)
def test_sql_that_writes_or_reads_files_is_refused(application: Any, history: Path, sql: str) -> None:
    before = hashlib.sha256(history.read_bytes()).hexdigest()
    for path in ("/history.json", "/history/-/query.json"):  # 0.65, 1.0
        answer = get(application, path, params={"sql": sql}, follow_redirects=True)
        assert answer.status_code in {400, 403, 404}
    assert hashlib.sha256(history.read_bytes()).hexdigest() == before


def test_every_answer_has_the_headers_that_keep_other_sites_out(application: Any) -> None:
    for path in ("/", "/history", RUNS, "/none"):
        headers = get(application, path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_what_cannot_be_answered_prints_no_secret(
    application: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Datasette prints all variables of the program with rich, and so the headers, where that is installed."""
    assert get(application, "/none").status_code == 404
    assert TOKEN not in "".join(capfd.readouterr())


def test_serve_needs_datasette(tmp_path: Path) -> None:
    (tmp_path / "datasette.py").write_text("raise ImportError('not installed')", encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, '.'); from clusterplan.cli import main; main(['serve'])",
    ]
    with Popen(command, cwd=tmp_path, stderr=PIPE, text=True) as process:
        _, errors = process.communicate()
    assert process.returncode == 3
    assert errors == 'Error: the pages need Datasette: pip install "clusterplan[serve]"\n'


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        (0o644, TOKEN, "others may read it: chmod 600"),
        (0o600, "short", "20 characters"),
        (0o600, "é" * 30, "ASCII"),
    ],
)
def test_a_token_file_that_is_no_secret_is_refused(
    in_process: Command, tmp_path: Path, mode: int, text: str, words: str
) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    answer = in_process("serve", "--port", 0, "--token-file", file)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert words in answer.stderr


def test_a_port_that_is_taken_is_one_line(in_process: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = in_process("serve", "--port", taken.getsockname()[1])
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "--port 0 takes any port that is free" in answer.stderr


def test_serve_prints_a_link_another_on_sigusr1_and_ends_with_its_collector(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o600)
    history = make_history(tmp_path / "history.db")
    command = [
        sys.executable,
        "-P",
        "-m",
        "clusterplan",
        "serve",
        "--port",
        "0",
        "--print-url",
        "--token-file",
        str(token),
    ]
    environment = {"CLUSTERPLAN_HISTORY": str(history), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    with Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environment, cwd=tmp_path) as process:
        try:
            link = _line(process)
            assert re.fullmatch(rf"http://127\.0\.0\.1:\d+{ENTRY}\?token=[\w-]{{43}}", link)
            process.send_signal(signal.SIGUSR1)
            assert _line(process) not in {"", link}
            address = link.partition("/-/")[0]
            request = Request(f"{address}{RUNS}", headers={"authorization": f"Bearer {TOKEN}"})  # noqa: S310  ours
            with urlopen(request, timeout=60) as answer:  # noqa: S310  likewise
                assert b"phi2-0" in answer.read()
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")


def _line(process: Popen[str]) -> str:
    assert select.select([process.stdout], [], [], 120)[0]
    return process.stdout.readline().strip()
