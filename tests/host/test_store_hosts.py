"""--host-list: the roots that real servers chain to are found, proved and kept; failing hosts are named."""

from __future__ import annotations

import json
import socket
import ssl

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from rootlet_host.errors import UsageError
from rootlet_host.store import BuildOptions, anchor_from_certificate, collect, hosts
from rootlet_host.store.hosts import Host, find_root, read_chain, read_host_list
from store_help import Runner
from support import pki
from support.servers import Server, server_context, tls_server

PEM = serialization.Encoding.PEM


@pytest.fixture
def build(tmp_path):
    def run(*lines, **options):
        (tmp_path / "hosts.txt").write_text("\n".join(lines))
        return collect(BuildOptions(sources=[str(tmp_path / "roots.pem")], host_list=tmp_path / "hosts.txt", **options))

    return run


def certificates(contents):
    return {anchor.certificate for anchor in contents.anchors}


def test_only_the_roots_the_hosts_chain_to_are_kept(build, roots):
    deep = roots[2].child("middle").child("lower").issue("localhost")
    with tls_server(roots[0].issue("localhost")) as one, tls_server(deep) as two:
        contents = build("# our hosts", f"localhost:{one.port}", "", f"localhost:{two.port}  # behind two CAs")
    assert certificates(contents) == {roots[0].certificate, roots[2].certificate}
    assert "1 anchor left out: no host of the list needs it" in contents.notes


def test_a_root_of_the_same_name_but_with_another_key_is_not_taken(build, roots, tmp_path):
    twin = pki.make_ca("root 0")
    (tmp_path / "roots.pem").write_bytes(twin.pem + roots[0].pem)
    with tls_server(roots[0].issue("localhost")) as server:
        assert certificates(build(f"localhost:{server.port}")) == {roots[0].certificate}


def test_a_server_that_sends_its_root_and_strangers_too_is_understood(build, roots):
    identity = roots[1].child("middle").issue("localhost")
    identity.intermediates += [roots[1].certificate, pki.make_ca("stranger").certificate]
    with tls_server(identity) as server:
        assert certificates(build(f"localhost:{server.port}")) == {roots[1].certificate}


def test_a_cross_signed_chain_stops_at_the_first_known_root(roots):
    middle = roots[0].child("middle")
    cross = pki.make_ca("root 0", key=roots[0].key, issuer=roots[1])
    chain = [middle.issue("localhost").certificate, middle.certificate, cross.certificate]
    anchors = [anchor_from_certificate(root.certificate) for root in roots]
    assert find_root(chain, anchors) == anchors[0]
    assert find_root(chain, anchors[1:]) == anchors[1]
    assert find_root(chain, anchors[2:]) is None
    assert find_root([], anchors) is None


def test_chains_of_both_kinds_of_a_server_with_two_certificates_are_followed(build, roots, tmp_path):
    rsa = pki.make_ca("rsa root", key="RSA-2048")
    (tmp_path / "roots.pem").write_bytes(rsa.pem + roots[0].pem + roots[1].pem)
    context = server_context(roots[0].issue("localhost"))
    second = rsa.issue("localhost", key="RSA-2048")
    (tmp_path / "rsa.pem").write_bytes(second.key_pem + second.chain_pem)
    context.load_cert_chain(tmp_path / "rsa.pem")
    with tls_server(second, context=context) as server:
        assert certificates(build(f"localhost:{server.port}")) == {rsa.certificate, roots[0].certificate}


def test_a_self_signed_server_given_exactly_is_its_own_root(build, tmp_path):
    server = pki.self_signed("localhost")
    (tmp_path / "roots.pem").write_bytes(server.pem)
    with tls_server(server) as running:
        assert certificates(build(f"localhost:{running.port}", exact=True)) == {server.certificate}


@pytest.mark.parametrize(
    "command", ["store build roots.pem --host-list hosts.txt", "ca find {host} --source roots.pem"]
)
def test_a_certificate_that_cannot_be_read_is_one_line(capsys, monkeypatch, tmp_path, roots, command):
    monkeypatch.chdir(tmp_path)
    identity = roots[0].issue("localhost")
    # No version of X.509: OpenSSL sends it all the same.
    unreadable = identity.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09", 1)
    (tmp_path / "server.pem").write_text(identity.key_pem.decode() + ssl.DER_cert_to_PEM_cert(unreadable))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with tls_server(identity, context=context) as server:
        host = f"localhost:{server.port}"
        (tmp_path / "hosts.txt").write_text(host)
        result = Runner(capsys, monkeypatch)(*command.format(host=host).split())
    assert result.code == 1
    assert f"{host} sends a certificate that cannot be read" in result.err
    assert result.err.count("\n") == 1


def test_max_keeps_the_roots_that_most_hosts_need(build, roots):
    with (
        tls_server(roots[0].issue("localhost")) as one,
        tls_server(roots[1].issue("localhost")) as two,
        tls_server(roots[1].issue("localhost")) as three,
    ):
        contents = build(*(f"localhost:{server.port}" for server in (one, two, three)), maximum=1)
    assert certificates(contents) == {roots[1].certificate}


def test_every_failing_host_is_named_with_its_reason(capsys, monkeypatch, tmp_path, roots):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosts, "TIMEOUT_S", 0.5)
    expired = roots[0].issue("localhost", not_before=pki.now() - pki.days(9), not_after=pki.now() - pki.days(1))
    with socket.create_server(("127.0.0.1", 0)) as closing:
        closed = closing.getsockname()[1]
    plain = Server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    stalled = Server(lambda connection: connection.recv(1 << 16) and connection.recv(1))
    with (
        tls_server(roots[0].issue("localhost")) as good,
        tls_server(roots[0].issue("other.test")) as wrong_name,
        tls_server(pki.make_ca("unknown").issue("localhost")) as unknown,
        tls_server(expired) as late,
        plain,
        stalled,
    ):
        failing = {
            f"localhost:{closed}": "Connection refused",
            f"localhost:{wrong_name.port}": "Hostname mismatch",
            f"localhost:{unknown.port}": "none of the sources holds the root of its chain (issuer CN=unknown",
            f"localhost:{late.port}": "certificate has expired",
            f"localhost:{plain.port}": "no TLS connection",
            f"localhost:{stalled.port}": "no answer within",
            "no-such-host.invalid": "cannot be resolved",
        }
        lines = [f"localhost:{good.port}", *failing]
        (tmp_path / "hosts.txt").write_text("\n".join(lines))
        result = Runner(capsys, monkeypatch)("store", "build", "roots.pem", "--host-list", "hosts.txt")
    assert result.code == 1
    assert f"{len(failing)} of {len(lines)} hosts failed" in result.err
    for host, reason in failing.items():
        assert f"{host}: " in result.err
        assert reason in result.err.split(f"{host}: ")[1].split(";")[0], host
    assert f"localhost:{good.port}" not in result.err
    assert not (tmp_path / "roots.rtlt").exists()


def test_a_chain_is_read_leaf_first_and_nothing_is_sent(roots):
    received = []

    def handler(stream: ssl.SSLSocket) -> None:
        received.append(stream.recv(1))

    identity = roots[0].child("middle").issue("localhost")
    with tls_server(identity, handler) as server:
        chain = read_chain(Host("localhost", server.port))
    assert chain == [identity.certificate, *identity.intermediates]
    assert received in ([], [b""])


def test_the_manifest_of_a_host_list_build_lists_what_was_kept(capsys, monkeypatch, tmp_path, roots):
    monkeypatch.chdir(tmp_path)
    with tls_server(roots[0].issue("localhost")) as server:
        (tmp_path / "hosts.txt").write_text(f"localhost:{server.port}\n")
        result = Runner(capsys, monkeypatch)("store", "build", "roots.pem", "--host-list", "hosts.txt")
    assert result.code == 0, result.err
    (entry,) = json.loads((tmp_path / "certs/roots.json").read_text())["anchors"]
    assert entry["sha256"] == roots[0].certificate.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("example.org", Host("example.org", 443)),
        ("example.org:8443 # comment", Host("example.org", 8443)),
        ("192.0.2.1:1", Host("192.0.2.1", 1)),
        ("[2001:db8::1]:8443", Host("2001:db8::1", 8443)),
        ("2001:db8::1", Host("2001:db8::1", 443)),
    ],
)
def test_hosts_may_have_a_port_or_be_addresses(tmp_path, line, host):
    (tmp_path / "hosts.txt").write_text(f"{line}\n{line}\n")
    assert read_host_list(tmp_path / "hosts.txt") == [host]


@pytest.mark.parametrize("line", ["https://example.org", "example.org:0", "example.org:x", ":443", "a b", "a:99999"])
def test_a_line_that_is_no_host_is_named(tmp_path, line):
    (tmp_path / "hosts.txt").write_text(f"example.org\n{line}\n")
    with pytest.raises(UsageError, match=r"line 2 of hosts\.txt is not a host"):
        read_host_list(tmp_path / "hosts.txt")


def test_an_empty_host_list_is_refused(tmp_path):
    (tmp_path / "hosts.txt").write_text("# none\n")
    with pytest.raises(UsageError, match="names no host"):
        read_host_list(tmp_path / "hosts.txt")
