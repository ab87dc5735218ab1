"""Lets a board make HTTP requests with rootlet.http.Client, blocking or in asyncio."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from . import pki
from .attempt import HOST
from .board import run_device
from .http_server import Application, Site, https_site

SCRIPT = Path(__file__).parents[1] / "net" / "scripts" / "http_client.py"
OPEN_FILES = 6  # standard streams, the folder being listed, and what the interpreter holds


@dataclass
class Report:
    """How one step went; see tests/net/scripts/http_client.py."""

    kind: str | None = None
    message: str = ""
    remedy: str = ""
    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""
    bytes: int = 0
    sum: int = 0
    text: str = ""
    json: Any = None
    saved: int = 0
    grown_bytes: int = 0
    elapsed_ms: int = 0


@dataclass
class Outcome:
    reports: list[Report]
    left_idle: int
    site: Site

    @property
    def only(self) -> Report:
        (report,) = self.reports
        return report

    def kinds(self) -> list[str | None]:
        return [report.kind for report in self.reports]


def run_steps(
    steps: Sequence[dict[str, Any]],
    cafile: Path,
    *,
    asynchronous: bool,
    heap: str = "1M",
    interpreter: Path | None = None,
    **client: Any,
) -> tuple[list[Report], int]:
    """Makes the requests `steps`, with these options of the client. Returns their reports, and how many connections
    were kept in the end. Nothing may stay open, and every error must say cause and remedy."""
    request = {"cafile": str(cafile), "asynchronous": asynchronous, "client": client, "steps": steps}
    output = run_device(SCRIPT, environment={"REQUEST": json.dumps(request)}, heap=heap, interpreter=interpreter)
    result = json.loads(output.splitlines()[-1])
    assert result["files"] <= OPEN_FILES, "something stayed open"
    reports = [Report(**report) for report in result["steps"]]
    for report in reports:
        assert report.kind in (None, "MemoryError") or (report.message and report.remedy), report
    return reports, result["left_idle"]


class Player:
    """Runs steps against a site that is made for them. In URLs "{0}" is the site, "{1}" a second one of another origin
    with the same application; a URL that begins with "/" is of the first."""

    def __init__(self, root: pki.Authority, cafile: Path, asynchronous: bool) -> None:
        self._identity = root.issue(HOST)
        self._cafile = cafile
        self.asynchronous = asynchronous

    def __call__(
        self,
        application: Application,
        *steps: str | dict[str, Any],
        sites: int = 1,
        heap: str = "1M",  # on 64 bits, and the sources are compiled in it
        breaks_off: bool = False,
        deaf: bool = False,
        **client: Any,
    ) -> Outcome:
        """`breaks_off`: requests may stay incomplete; `deaf`: the sites read nothing."""
        with ExitStack() as stack:
            found = [stack.enter_context(https_site(self._identity, application)) for _ in range(sites)]
            for site in found:
                site.deaf = deaf
                site.origins = [f"https://{HOST}:{each.port}" for each in found]
            filled = []
            for step in steps:
                step = {"url": step} if isinstance(step, str) else dict(step)
                url = "{0}" + step["url"] if step["url"][:1] == "/" else step["url"]
                for i, origin in enumerate(found[0].origins):
                    url = url.replace("{" + str(i) + "}", origin)
                filled.append({**step, "url": url})
            reports, left_idle = run_steps(filled, self._cafile, asynchronous=self.asynchronous, heap=heap, **client)
        outcome = Outcome(reports, left_idle, found[0])
        outcome.site.others = found[1:]
        for site in found:
            assert breaks_off or site.faults == [], "the client broke HTTP"
        return outcome


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
def play(request: pytest.FixtureRequest, root: pki.Authority, cafile: Path) -> Callable[..., Outcome]:
    return Player(root, cafile, request.param)


@pytest.fixture
def play_blocking(root: pki.Authority, cafile: Path) -> Callable[..., Outcome]:
    """For what asyncio changes nothing about."""
    return Player(root, cafile, False)
