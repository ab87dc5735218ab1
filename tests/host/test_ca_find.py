"""`rootlet ca find`: the root is found by names and signatures, whatever a server sends; stores are judged by it."""

from __future__ import annotations

import json
import shlex
import shutil
import socket

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import AuthorityInformationAccessOID
from rootlet_host import ca
from rootlet_host.store import anchor_from_certificate, decode_store, hosts, mozilla_certificates
from support import pki
from support.attempt import HOST
from support.board import REPOSITORY, run_device_json
from support.servers import Server, server_context, tls_server

PROBE = REPOSITORY / "tests" / "net" / "probe.py"


@pytest.fixture
def find(rootlet):
    def run(server, *options, host="localhost"):
        return rootlet("ca", "find", f"{host}:{server.port}", "--source", "roots.pem", *options)

    return run


@pytest.fixture
def found(find):
    def run(server, *options, code=0, **keywords):
        result = find(server, "--json", *options, **keywords)
        assert result.code == code, result.err
        return json.loads(result.out)

    return run


def sha256(issued):
    return issued.certificate.fingerprint(hashes.SHA256()).hex()


def anchors(*authorities):
    return [anchor_from_certificate(authority.certificate) for authority in authorities]


# ----------------------------------------------------------------------------------------------- finding a root


def test_the_root_is_found_although_the_server_does_not_send_it(found, roots):
    with tls_server(roots[1].child("middle").issue("localhost")) as server:
        (chain,) = found(server)["chains"]
    assert chain["root"]["sha256"] == sha256(roots[1]) and chain["verified"]
    assert [certificate["role"] for certificate in chain["sent"]] == ["server", "intermediate"]
    assert chain["other_roots"] == [] and chain["fault"] is None


def test_a_root_and_strangers_that_are_sent_too_are_told_apart(found, roots):
    identity = roots[0].child("middle").issue("localhost")
    identity.intermediates += [roots[0].certificate, pki.make_ca("stranger").certificate]
    with tls_server(identity) as server:
        (chain,) = found(server)["chains"]
    roles = [certificate["role"] for certificate in chain["sent"]]
    assert roles == ["server", "intermediate", "the root (need not be sent)", "not needed"]


def test_a_wrong_order_does_not_matter(found, roots):
    identity = roots[2].child("upper").child("lower").issue("localhost")
    identity.intermediates.reverse()
    with tls_server(identity) as server:
        (chain,) = found(server)["chains"]
    assert chain["root"]["sha256"] == sha256(roots[2])


def test_of_a_cross_signed_root_the_nearest_is_taken_and_the_other_is_told(found, roots):
    identity = roots[0].child("middle").issue("localhost")
    identity.intermediates.append(pki.make_ca("root 0", key=roots[0].key, issuer=roots[1]).certificate)
    with tls_server(identity) as server:
        (chain,) = found(server)["chains"]
    assert chain["root"]["sha256"] == sha256(roots[0])
    assert [root["sha256"] for root in chain["other_roots"]] == [sha256(roots[1])]
    assert chain["sent"][2]["role"] == "the root (need not be sent)"  # its name and key are the root's


def test_a_cross_signed_intermediate_leads_to_the_only_root_that_is_known(roots):
    middle = roots[0].child("middle")
    cross = pki.make_ca("middle", key=middle.key, issuer=roots[1])
    sent = [middle.issue("localhost").certificate, middle.certificate, cross.certificate]
    for known, expected in ((roots[:1], "root 0"), (roots[1:], "root 1")):
        (route,) = ca.find_paths(sent, anchors(*known))
        assert route.anchor.certificate.subject == pki.make_name(expected)
    assert len(ca.find_paths(sent, anchors(*roots))) == 2
    chain = ca.follow(sent, anchors(*roots))
    assert [chain.role(certificate) for certificate in sent] == ["server", "intermediate", "cross-signed (not needed)"]


def test_both_chains_of_a_server_with_two_kinds_of_certificates_are_shown(found, roots, tmp_path):
    rsa = pki.make_ca("rsa root", key="RSA-2048")
    (tmp_path / "roots.pem").write_bytes(rsa.pem + roots[0].pem)
    context = server_context(roots[0].issue("localhost"))
    second = rsa.issue("localhost", key="RSA-2048")
    (tmp_path / "rsa.pem").write_bytes(second.key_pem + second.chain_pem)
    context.load_cert_chain(tmp_path / "rsa.pem")
    with tls_server(second, context=context) as server:
        chains = found(server)["chains"]
    assert {chain["root"]["sha256"] for chain in chains} == {sha256(rsa), sha256(roots[0])}
    assert all(chain["verified"] for chain in chains)


def test_circles_and_floods_of_cross_signed_certificates_end():
    keys = [pki.make_key() for _ in range(6)]
    authorities = [pki.make_ca(f"ca {n}", key=key) for n, key in enumerate(keys)]
    crossed = [
        pki.make_ca(f"ca {n}", key=keys[n], issuer=other).certificate
        for n in range(6)
        for other in authorities
        if other is not authorities[n]
    ]
    leaf = authorities[0].issue("localhost").certificate
    assert ca.find_paths([leaf, *crossed], anchors(pki.make_ca("unknown"))) == []
    assert "incomplete" in ca.follow([leaf, *crossed], anchors(pki.make_ca("unknown"))).fault


def test_all_of_mozillas_roots_are_looked_through_without_a_source(rootlet, roots):
    with tls_server(roots[0].issue("localhost")) as server:
        result = rootlet("ca", "find", f"localhost:{server.port}")
    assert result.code == 1 and "is no known root" in result.err
    real = mozilla_certificates()
    assert [route.anchor.certificate for route in ca.find_paths([real[0]], anchors_of(real))] == [real[0]]


def anchors_of(certificates):
    return [anchor_from_certificate(certificate) for certificate in certificates]


# ------------------------------------------------------------------------------------------------- what is wrong


def test_a_missing_intermediate_is_named_with_the_address_that_has_it(found, roots):
    description = x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.test/middle.der")
    )
    extension = (x509.AuthorityInformationAccess([description]), False)
    identity = roots[0].child("middle").issue("localhost", extensions=[extension])
    identity.intermediates.clear()
    with tls_server(identity) as server:
        (chain,) = found(server, code=1)["chains"]
    assert "incomplete: the certificate of 'middle' is not sent" in chain["fault"]
    assert "http://ca.test/middle.der" in chain["remedy"]
    assert chain["root"] is None and chain["offered"] is None and not chain["verified"]


def test_a_root_of_the_right_name_that_did_not_sign_is_called_so(find, roots):
    twin = pki.make_ca("root 0")
    with tls_server(twin.issue("localhost")) as server:
        result = find(server)
    assert result.code == 1
    assert "names the root 'root 0', which did not sign it (do not trust it" in result.err


def test_a_private_root_that_is_sent_is_shown_and_not_trusted(find, roots):
    private = pki.make_ca("private root")
    identity = private.issue("localhost")
    identity.intermediates.append(private.certificate)
    with tls_server(identity) as server:
        result = find(server)
    assert result.code == 1 and result.err.strip().count("\n") == 1  # one note, one error
    assert "ends in its own root 'private root'" in result.err and sha256(private) in result.out


def test_a_self_signed_server_is_called_so(find, roots):
    identity = pki.self_signed("localhost")
    with tls_server(identity) as server:
        result = find(server)
    assert result.code == 1 and "self-signed: there is no CA above it" in result.err
    assert "server, self-signed" in result.out and "this certificate only" in result.out


@pytest.mark.parametrize(
    ("names", "dates", "reason"),
    [
        (["localhost"], {"not_after": pki.now() - pki.days(0.5)}, "certificate has expired"),
        (["other.test"], {}, "Hostname mismatch"),
    ],
)
def test_a_certificate_that_boards_would_refuse_is_refused_under_a_known_root_too(find, roots, names, dates, reason):
    with tls_server(roots[0].issue(*names, **dates)) as server:
        result = find(server)
    assert result.code == 1 and reason in result.err and "root: root 0" in result.out


def test_more_than_boards_read_is_said(roots):
    sent = [roots[0].issue("localhost").certificate, *(pki.make_ca(f"x{n}").certificate for n in range(16))]
    chain = ca.follow(sent, anchors(roots[0]))
    assert chain.anchor is not None and "17 certificates" in chain.fault and "too much for a board" in chain.fault


def test_faults_of_the_connection_are_said_in_words(rootlet, monkeypatch):
    monkeypatch.setattr(hosts, "TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as closing:
        closed = closing.getsockname()[1]
    plain = Server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    silent = Server(lambda connection: connection.recv(1 << 16) and connection.recv(1))
    with plain, silent:
        for target, reason in (
            (f"localhost:{closed}", "Connection refused"),
            (f"localhost:{plain.port}", "no TLS connection"),
            (f"localhost:{silent.port}", "no answer within"),
            ("no-such-host.invalid", "cannot be resolved"),
        ):
            result = rootlet("ca", "find", target)
            assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
            assert reason in result.err and target.split(":")[0] in result.err


@pytest.mark.parametrize("host", ["https://example.org", "example.org:0", "", "a b"])
def test_what_is_no_host_is_refused(rootlet, host):
    result = rootlet("ca", "find", host)
    assert result.code == 2 and "is not a host" in result.err


def test_names_of_strangers_do_not_reach_the_terminal_as_they_are(find, roots):
    evil = pki.make_ca("evil\x1b[31m[bold]root")
    identity = evil.issue("localhost")
    identity.intermediates.append(evil.certificate)
    with tls_server(identity) as server:
        result = find(server)
    assert "\x1b" not in result.out + result.err
    assert "evil?[31m[bold]root" in result.out and "evil?[31m[bold]root" in result.err


# ------------------------------------------------------------------------------------------- the user's stores


def build(rootlet, path, *sources, **options):
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    result = rootlet("store", "build", *sources, "-o", path, *flags)
    assert result.code == 0, result.err


def test_it_says_which_store_holds_the_root(rootlet, found, find, roots, tmp_path):
    for n, root in enumerate(roots[:2]):
        (tmp_path / f"{n}.pem").write_bytes(root.pem)
        build(rootlet, f"{n}.rtlt", f"{n}.pem")
    with tls_server(roots[1].issue("localhost")) as server:
        stores = found(server, "--store", "0.rtlt", "--store", "1.rtlt")["stores"]
        text = find(server, "--store", "0.rtlt", "--store", "1.rtlt").out
    assert [(store["path"], store["holds"]) for store in stores] == [("0.rtlt", False), ("1.rtlt", True)]
    assert "1.rtlt: holds the root (sequence 1)" in text and "0.rtlt: does not hold the root" in text


def test_the_stores_in_certs_are_looked_at_without_being_named(rootlet, found, find, roots, tmp_path):
    with tls_server(roots[0].issue("localhost")) as server:
        assert "no store was looked at" in find(server).err
        (tmp_path / "certs").mkdir()
        build(rootlet, "certs/a.rtlt", "roots.pem")
        (tmp_path / "certs" / "b.rtlt").write_bytes(b"nonsense")
        verdicts = found(server)["stores"]
        assert [verdict["holds"] for verdict in verdicts] == [True, False]
        assert "cannot be used" in verdicts[1]["words"]
        assert find(server, "--store", "certs/b.rtlt").code == 1  # asked for, so it is an error


def test_a_store_that_holds_the_root_and_does_not_help_says_why(rootlet, found, roots, tmp_path):
    (tmp_path / "0.pem").write_bytes(roots[0].pem)
    build(rootlet, "narrow.rtlt", "0.pem", suffix="example.org")
    build(rootlet, "wide.rtlt", "0.pem", suffix="localhost")
    identity = roots[0].issue("localhost")
    (tmp_path / "leaf.pem").write_bytes(identity.pem)
    build(rootlet, "blocking.rtlt", "0.pem", block="leaf.pem")
    build(rootlet, "late.rtlt", "0.pem", not_used_after=f"{pki.now() - pki.days(1):%Y-%m-%d}")
    with tls_server(identity) as server:
        options = [text for name in ("narrow", "wide", "blocking", "late") for text in ("--store", f"{name}.rtlt")]
        verdicts = {verdict["path"].split(".")[0]: verdict for verdict in found(server, *options)["stores"]}
    assert {name for name, verdict in verdicts.items() if verdict["holds"]} == {"wide"}
    assert "for example.org only" in verdicts["narrow"]["words"]
    assert "blocks a key" in verdicts["blocking"]["words"]
    assert "must not be used after 20" in verdicts["late"]["words"]


def test_a_store_with_the_other_root_of_a_cross_signed_chain_is_good_too(rootlet, found, roots, tmp_path):
    (tmp_path / "1.pem").write_bytes(roots[1].pem)
    build(rootlet, "1.rtlt", "1.pem")
    identity = roots[0].child("middle").issue("localhost")
    identity.intermediates.append(pki.make_ca("root 0", key=roots[0].key, issuer=roots[1]).certificate)
    with tls_server(identity) as server:
        assert found(server, "--store", "1.rtlt")["stores"][0]["holds"]


# ------------------------------------------------------------------------------------------------------- adding


def connect(port, store, host=HOST):
    request = {"host": host, "port": port, "address": "127.0.0.1", "store": str(store)}
    return run_device_json(PROBE, request).get("kind")


def test_the_root_is_added_and_the_board_connects_then(rootlet, found, find, roots, tmp_path):
    (tmp_path / "0.pem").write_bytes(roots[0].pem)
    build(rootlet, "site.rtlt", "0.pem", not_used_after="2090-01-01")
    before = decode_store((tmp_path / "site.rtlt").read_bytes())
    with tls_server(roots[1].child("middle").issue(HOST, "localhost")) as server:
        assert connect(server.port, tmp_path / "site.rtlt") == "UnknownIssuerError"
        result = find(server, "--add", "site.rtlt")
        assert result.code == 0, result.err
        assert connect(server.port, tmp_path / "site.rtlt") is None
        assert "added to site.rtlt: root 1; its sequence is 2 now" in result.out
        assert "store sign site.rtlt" in result.out and "site.rtlt: holds the root (sequence 2)" in result.out
        after = decode_store((tmp_path / "site.rtlt").read_bytes())
        assert after.header.sequence == 2 and len(after.anchors) == 2 and set(before.anchors) < set(after.anchors)
        assert after.header.not_used_after == before.header.not_used_after
        names = {entry["name"] for entry in json.loads((tmp_path / "site.json").read_text())["anchors"]}
        assert names == {"root 0", "root 1"}
        again = found(server, "--add", "site.rtlt")["added"]
    assert again["state"] == "unchanged" and again["sequence"] == 2


def test_the_command_that_it_names_adds_the_root(rootlet, find, roots, tmp_path):
    (tmp_path / "0.pem").write_bytes(roots[0].pem)
    build(rootlet, "site.rtlt", "0.pem")
    with tls_server(roots[1].issue("localhost")) as server:
        said = find(server, "--store", "site.rtlt").out
        words = shlex.split(said.split("add the root with: ")[1])
        assert words.pop(0) == "rootlet"
        assert "added to site.rtlt: root 1" in rootlet(*words).out


def test_a_signed_store_keeps_its_publisher_and_has_to_be_signed_again(rootlet, find, roots, tmp_path):
    rootlet("keys", "new", "acme", "--no-passphrase")
    (tmp_path / "0.pem").write_bytes(roots[0].pem)
    build(rootlet, "site.rtlt", "0.pem", publisher="acme.pem")
    rootlet("store", "sign", "site.rtlt", "--key", "acme.key")
    with tls_server(roots[1].issue("localhost")) as server:
        assert "it is not signed" in find(server, "--add", "site.rtlt").out
    after = decode_store((tmp_path / "site.rtlt").read_bytes())
    assert after.envelope is None and after.publisher is not None
    assert rootlet("store", "sign", "site.rtlt", "--key", "acme.key").code == 0
    assert rootlet("store", "check", "site.rtlt", "--publisher", "acme.pem").code == 0


def test_a_root_can_be_limited_to_domains_when_it_is_added(rootlet, find, roots, tmp_path):
    (tmp_path / "0.pem").write_bytes(roots[0].pem)
    build(rootlet, "site.rtlt", "0.pem")
    with tls_server(roots[1].issue(HOST, "localhost", "other.test")) as server:
        assert find(server, "--add", "site.rtlt", "--suffix", "example.org", "--suffix", "localhost").code == 0
        assert connect(server.port, tmp_path / "site.rtlt") is None
        assert connect(server.port, tmp_path / "site.rtlt", host="other.test") == "UnknownIssuerError"


@pytest.mark.parametrize("kind", ["self-signed server", "private root"])
def test_what_nobody_vouches_for_is_added_only_with_its_sha256(rootlet, find, roots, tmp_path, kind):
    build(rootlet, "site.rtlt", "roots.pem")
    if kind == "private root":
        trusted = pki.make_ca("private root")
        identity = trusted.issue(HOST, "localhost")
        identity.intermediates.append(trusted.certificate)
    else:
        trusted = identity = pki.self_signed(HOST, "localhost")
    before = (tmp_path / "site.rtlt").read_bytes()
    with tls_server(identity) as server:
        assert find(server, "--add", "site.rtlt").code == 1
        result = find(server, "--add", "site.rtlt", "--sha256", "ab" * 32)
        assert result.code == 1 and "no self-signed certificate with this SHA-256" in result.err
        assert find(server, "--add", "site.rtlt", "--sha256", "ab").code == 2
        assert (tmp_path / "site.rtlt").read_bytes() == before
        colons = ":".join(sha256(trusted)[i : i + 2].upper() for i in range(0, 64, 2))
        result = find(server, "--add", "site.rtlt", "--sha256", colons)
        assert result.code == 0, result.err
        assert connect(server.port, tmp_path / "site.rtlt") is None


def test_what_is_vouched_for_is_still_held_to_name_and_dates(rootlet, find, roots, tmp_path):
    build(rootlet, "site.rtlt", "roots.pem")
    before = (tmp_path / "site.rtlt").read_bytes()
    identity = pki.self_signed("other.test")
    with tls_server(identity) as server:
        result = find(server, "--add", "site.rtlt", "--sha256", sha256(identity))
    assert result.code == 1 and "Hostname mismatch" in result.err
    assert (tmp_path / "site.rtlt").read_bytes() == before


def test_a_blocked_root_is_not_added(rootlet, find, roots, tmp_path):
    (tmp_path / "0.pem").write_bytes(roots[0].pem)
    (tmp_path / "1.pem").write_bytes(roots[1].pem)
    build(rootlet, "site.rtlt", "0.pem", block="1.pem")
    before = (tmp_path / "site.rtlt").read_bytes()
    with tls_server(roots[1].issue("localhost")) as server:
        result = find(server, "--add", "site.rtlt")
    assert result.code == 1 and "blocks the key" in result.err
    assert (tmp_path / "site.rtlt").read_bytes() == before


def test_nothing_is_added_to_what_is_no_store(find, roots, tmp_path):
    shutil.copy(tmp_path / "roots.pem", tmp_path / "site.rtlt")
    before = (tmp_path / "site.rtlt").read_bytes()
    with tls_server(roots[1].issue("localhost")) as server:
        assert find(server, "--add", "site.rtlt").code == 1
        assert find(server, "--add", "missing.rtlt").code == 2
        assert find(server, "--suffix", "example.org").code == 2
    assert (tmp_path / "site.rtlt").read_bytes() == before


def test_a_source_may_be_a_self_signed_server(rootlet, tmp_path):
    identity = pki.self_signed("localhost")
    (tmp_path / "server.pem").write_bytes(identity.certificate.public_bytes(serialization.Encoding.PEM))
    with tls_server(identity) as server:
        result = rootlet("ca", "find", f"localhost:{server.port}", "--source", "server.pem", "--json")
    (chain,) = json.loads(result.out)["chains"]
    assert result.code == 0 and chain["root"]["kind"] == "EXACT" and chain["verified"]
