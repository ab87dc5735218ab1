"""A good certificate, but for somebody else."""

from __future__ import annotations

import pytest
from support import pki
from support.attempt import HOST, Connect
from support.servers import tls_server


@pytest.mark.parametrize("names", [("other.example.org",), ("example.org",), ("*.board.example.org",), ("127.0.0.2",)])
def test_certificate_for_other_names_is_refused(names: tuple[str, ...], root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue(*names)) as server:
        outcome = connect(server.port)
    assert outcome.kind == "HostnameError"
    assert HOST in outcome.message


def test_missing_host_name_is_refused_before_connecting(root: pki.Authority, connect: Connect) -> None:
    with tls_server(root.issue(HOST)) as server:
        assert connect(server.port, "").kind == "ConfigError"
        outcome = connect(server.port, "bücher.example")
    assert outcome.kind == "ConfigError"
    assert "xn--" in outcome.message
