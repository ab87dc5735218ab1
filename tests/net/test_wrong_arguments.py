"""Arguments that make no sense are refused in words, before anybody is dialled, and nothing stays open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST
from support.board import run_device
from support.http_client import Outcome
from support.http_server import Reply
from support.servers import tls_server

SCRIPT = Path(__file__).parent / "scripts" / "wrong_arguments.py"
Evaluate = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def evaluate(root: pki.Authority, cafile: Path) -> Evaluate:
    """Lets the board evaluate `cases`; returns the class and the words of what each raised."""

    def run(*cases: str) -> dict[str, tuple[str, str]]:
        with tls_server(root.issue(HOST)) as server:
            request = {"url": f"https://{HOST}:{server.port}/", "cafile": str(cafile), "cases": cases}
            output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)}, timeout_s=30)
            assert server.accepted == 0, "somebody was dialled"
        found = dict(zip(cases, json.loads(output.splitlines()[-1]), strict=True))
        assert {case for case, (_, _, files) in found.items() if files} == set(), "a file stayed open"
        return {case: (kind, words) for case, (kind, words, _) in found.items()}

    return run


def assert_refused(found: dict[str, tuple[str, str]]) -> None:
    assert {case: kind for case, (kind, _) in found.items() if kind != "ConfigError"} == {}
    assert all(words.count(". ") for _, words in found.values()), "cause and remedy"


def test_a_context_of_nonsense(evaluate: Evaluate, cafile: Path) -> None:
    found = evaluate(
        *(f"rootlet.Context(store={value})" for value in ("5", "b'/certs/roots.rtlt'", "[context]", "object()")),
        "rootlet.Context(5)",
        *(f"rootlet.Context(cafile={value})" for value in ("5", "'/nowhere/ca.pem'", "'/'", "b'/ca.pem'", "''")),
        *(f"rootlet.Context(cadata={value})" for value in ("5", "{}", "'no PEM'", "memoryview(b'0')", "b''")),
        *(
            f"rootlet.Context(cafile=cafile, timeout_ms={value})"
            for value in ("None", "-1", "1.5", "float('nan')", "1 << 29", "1 << 70", "'5'", "b'5'")
        ),
        *(f"rootlet.Context(cafile=cafile, ciphers={value})" for value in ("5", "'TLS'", "[]", "{}")),
        *(f"rootlet.Context(psk={value})" for value in ("5", "'ab'", "('a',)", "('a', b'b', b'c')")),
        *(f"rootlet.Context(psk=('a', {value}))" for value in ("32", "None", "'k' * 32", "[1] * 32")),
        "rootlet.Context(psk=(5, bytes(32)))",
        *(f"rootlet.Context(cafile=cafile, client_cert={value})" for value in ("5", "[1]", "'/nowhere'", "b''")),
    )
    assert_refused(found)
    assert "ENOENT" in found["rootlet.Context(cafile='/nowhere/ca.pem')"][1]


def test_pem_may_be_a_text(evaluate: Evaluate) -> None:
    cases = (
        "rootlet.Context(cadata=open(cafile).read())",
        "rootlet.Context(cadata=bytearray(open(cafile, 'rb').read()))",
    )
    assert set(evaluate(*cases).values()) == {("nothing", "")}


def test_header_fields_of_nonsense(evaluate: Evaluate) -> None:
    wrong = ("{'A': b'x'}", "{'A': None}", "{'A': ['x']}", "{5: 'x'}", "{b'A': 'x'}", "{None: 'x'}")
    assert_refused(
        evaluate(
            *(f"get(headers={fields})" for fields in wrong),
            *(f"client().get(url, headers={fields})" for fields in wrong),
            *(f"client(headers={fields}).get(url)" for fields in wrong),
        )
    )


def test_requests_of_nonsense(evaluate: Evaluate) -> None:
    options = (
        *(f"auth={value}" for value in ("5", "'u'", "('u',)", "(b'u', b'p')", "('u', None)", "('u', 'p', 'q')")),
        *(f"bearer={value}" for value in ("5", "b'x'", "['x']")),
        *(f"length={value}" for value in ("-1", "'1'", "1.5")),
        *(f"timeout_ms={value}" for value in ("'x'", "1.5", "float('nan')", "1 << 70")),
        *(f"sha256={value}" for value in ("32", "b'x'", "'x' * 64", "[0] * 32", "True")),
    )
    assert_refused(
        evaluate(
            *(f"client().post(url, body=iter([b'x']), {option})" for option in options),
            *(f"client({option}).get(url)" for option in options if "timeout" in option),
            *(f"client().post(url, body={body})" for body in ("{'a': 'b'}", "5", "1.5", "client")),
            "requests.post(url, data={'a': 'b'})",
            *(f"client().request({method}, url)" for method in ("''", "5", "None", "b'GET'", "'CONNECT'", "['GET']")),
        )
    )


def test_a_time_limit_that_is_none(evaluate: Evaluate) -> None:
    values = ("None", "'5'", "1.5", "1 << 70")
    ways = ("connected", "opened", "upgraded", "upgraded_in_asyncio", "get")
    assert_refused(evaluate(*(f"{do}(timeout_ms={value})" for value in values for do in ways)))


def test_credentials_are_sent_once_whoever_else_gave_some(play_blocking: Callable[..., Outcome]) -> None:
    outcome = play_blocking(
        lambda request: Reply(body=request.headers["authorization"].encode()),
        {"url": "/", "bearer": "own", "headers": {"authorization": "theirs"}},
        {"url": "/", "auth": ["a", "b"]},
        headers={"AUTHORIZATION": "the client's"},
    )
    assert [report.text for report in outcome.reports] == ["Bearer own", "Basic YTpi"]
