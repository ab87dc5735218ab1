"""A certificate from the future, or a clock from the past."""

from __future__ import annotations

from support import pki
from support.attempt import HOST, Connect
from support.servers import tls_server


def test_certificate_from_the_future_is_refused(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue(HOST, not_before=pki.now() + pki.days(2))) as server:
        outcome = connect(server.port)
    assert outcome.kind == "NotYetValidError"
    assert "clock" in outcome.remedy
