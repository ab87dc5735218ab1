"""`rootlet store build`, `show`, `diff`, `check`: what they write and print, and that builds repeat."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from rootlet_host.store import decode_store, mozilla_certificates
from store_help import NOW, ec_key, make_certificate, rsa_key, with_digest


@pytest.fixture
def root(tmp_path):
    """A private CA, in ca.pem."""
    authority = make_certificate("Private Root", key=rsa_key())
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    return authority


def read(path):
    return decode_store(path.read_bytes())


# ------------------------------------------------------------------------------------------------- building


def test_without_arguments_all_of_mozillas_roots_are_built(rootlet, tmp_path):
    result = rootlet("store", "build")
    assert result.code == 0, result.err
    count = len(mozilla_certificates())
    assert len(read(tmp_path / "certs/roots.rtlt").anchors) == count
    assert f"{count} anchors in " in result.out
    assert "ISRG Root X1" not in result.out
    assert "ISRG Root X1" in rootlet("store", "show", "certs/roots.rtlt").out
    manifest = json.loads((tmp_path / "certs/roots.json").read_text())
    assert len(manifest["anchors"]) == count
    assert manifest["bytes_per_anchor"] <= 350


def test_without_a_name_the_store_goes_where_deploy_and_ca_find_look(rootlet, tmp_path, root):
    assert rootlet("store", "build", "ca.pem").code == 0
    assert sorted(path.name for path in (tmp_path / "certs").iterdir()) == ["roots.json", "roots.rtlt"]


def test_two_builds_of_the_same_inputs_are_equal_in_every_byte(rootlet, tmp_path, root):
    for name in ("a", "b"):
        assert rootlet("store", "build", "mozilla", "ca.pem", "-o", f"{name}.rtlt").code == 0
    assert (tmp_path / "a.rtlt").read_bytes() == (tmp_path / "b.rtlt").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_rebuilding_keeps_the_sequence_and_a_change_raises_it(rootlet, tmp_path, root):
    store = tmp_path / "certs/roots.rtlt"
    assert "new:" in rootlet("store", "build", "ca.pem").out
    first = store.read_bytes()
    assert "unchanged:" in rootlet("store", "build", "ca.pem").out
    assert store.read_bytes() == first
    (tmp_path / "ca.pem").write_bytes(root.pem + make_certificate("Another").pem)
    assert "changed:" in rootlet("store", "build", "ca.pem").out
    assert (read(store).header.sequence, len(read(store).anchors)) == (2, 2)
    rootlet("store", "build", "ca.pem", "--not-used-after", "2090-01-01")
    assert read(store).header.sequence == 3


def test_rebuilding_a_signed_store_from_unchanged_inputs_keeps_its_signature(rootlet, tmp_path, root):
    rootlet("keys", "new", "acme", "--no-passphrase")
    rootlet("store", "build", "ca.pem")
    rootlet("store", "sign", "certs/roots.rtlt", "--key", "acme.key")
    manifest = json.loads((tmp_path / "certs/roots.json").read_text())
    assert manifest["signed"] is True
    assert manifest["anchors"][0]["source"] == "ca.pem"
    signed = (tmp_path / "certs/roots.rtlt").read_bytes()
    assert "unchanged:" in rootlet("store", "build", "ca.pem").out
    assert (tmp_path / "certs/roots.rtlt").read_bytes() == signed
    assert json.loads((tmp_path / "certs/roots.json").read_text()) == manifest


def test_an_explicit_sequence_is_taken_and_one_that_boards_would_refuse_is_noted(rootlet, tmp_path, root):
    store = tmp_path / "certs/roots.rtlt"
    assert rootlet("store", "build", "ca.pem", "--sequence", 1000).code == 0
    assert read(store).header.sequence == 1000
    result = rootlet("store", "build", "ca.pem", "--sequence", 7)
    assert (result.code, read(store).header.sequence) == (0, 7)
    assert "is not above 1000" in result.err


def test_a_series_stays_until_another_is_asked_for(rootlet, tmp_path, root):
    store = tmp_path / "certs/roots.rtlt"
    rootlet("store", "build", "ca.pem")
    assert read(store).header.series == ""
    rootlet("store", "build", "ca.pem", "--series", "web")
    assert (read(store).header.series, read(store).header.sequence) == ("web", 2)
    assert "unchanged:" in rootlet("store", "build", "ca.pem").out
    (tmp_path / "ca.pem").write_bytes(root.pem + make_certificate("Another").pem)
    rootlet("store", "build", "ca.pem")
    assert (read(store).header.series, read(store).header.sequence) == ("web", 3)
    assert "series web" in rootlet("store", "show", store).out
    result = rootlet("store", "build", "ca.pem", "--series", "site")
    assert (result.code, read(store).header.series) == (0, "site")
    assert "the series is not web any more" in result.err


@pytest.mark.parametrize("series", ["sites", "Site", "a b", "ä"])
def test_a_series_that_does_not_fit_is_refused(rootlet, tmp_path, root, series):
    result = rootlet("store", "build", "ca.pem", "--series", series)
    assert (result.code, "up to four of" in result.err) == (2, True)
    assert not (tmp_path / "certs").exists()


def test_a_damaged_store_at_the_output_is_not_overwritten_without_a_sequence(rootlet, tmp_path, root):
    store = tmp_path / "certs/roots.rtlt"
    store.parent.mkdir()
    store.write_bytes(b"RTLT, but not really")
    result = rootlet("store", "build", "ca.pem")
    assert result.code == 1
    assert "cannot tell the next sequence" in result.err and "--sequence" in result.err
    assert store.read_bytes() == b"RTLT, but not really"
    assert rootlet("store", "build", "ca.pem", "--sequence", 5).code == 0


def test_the_time_of_issue_is_the_newest_of_the_certificates_and_of_mozillas_list(rootlet, tmp_path, root):
    rootlet("store", "build", "ca.pem", "-o", "a.rtlt")
    assert read(tmp_path / "a.rtlt").header.issued_at == root.certificate.not_valid_before_utc.timestamp()
    rootlet("store", "build", "-o", "b.rtlt")
    issued_at = read(tmp_path / "b.rtlt").header.issued_at
    assert issued_at >= max(root.not_valid_before_utc.timestamp() for root in mozilla_certificates())
    assert issued_at <= NOW.timestamp()


def test_the_time_of_issue_is_never_in_the_future(rootlet, tmp_path, root):
    early = make_certificate("Tomorrow", not_before=NOW + timedelta(days=1))
    (tmp_path / "ca.pem").write_bytes(root.pem + early.pem)
    rootlet("store", "build", "ca.pem")
    assert read(tmp_path / "certs/roots.rtlt").header.issued_at == root.certificate.not_valid_before_utc.timestamp()
    result = rootlet("store", "build", "ca.pem", "--issued-at", f"{NOW + timedelta(days=1):%Y-%m-%d}")
    assert result.code == 2
    assert "is in the future" in result.err


def test_source_date_epoch_sets_the_time_of_issue(rootlet, tmp_path, root, monkeypatch):
    moment = int((NOW - timedelta(days=5)).timestamp())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(moment))
    rootlet("store", "build", "ca.pem")
    assert read(tmp_path / "certs/roots.rtlt").header.issued_at == moment
    for wrong in ("soon", str(int(NOW.timestamp()) + 86400)):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        assert rootlet("store", "build", "ca.pem").code == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2030-01-01", 1893456000),
        ("2030-01-01T00:00:00Z", 1893456000),
        ("2030-01-01T01:00:00+01:00", 1893456000),
        ("1893456000", 1893456000),
    ],
)
def test_times_may_be_dates_iso_8601_or_seconds(rootlet, tmp_path, root, text, seconds):
    assert rootlet("store", "build", "ca.pem", "--not-used-after", text).code == 0
    assert read(tmp_path / "certs/roots.rtlt").header.not_used_after == seconds


@pytest.mark.parametrize("text", ["tomorrow", "1969-01-01", "2200-01-01", "0"])
def test_a_time_that_cannot_be_kept_is_refused(rootlet, root, text):
    assert rootlet("store", "build", "ca.pem", "--not-used-after", text).code == 2


def test_ecc_only_keeps_only_elliptic_curve_keys(rootlet, tmp_path, root):
    result = rootlet("store", "build", "mozilla", "ca.pem", "--ecc-only")
    anchors = read(tmp_path / "certs/roots.rtlt").anchors
    assert 20 <= len(anchors) < len(mozilla_certificates())
    assert not any(anchor.kind.name == "RSA" for anchor in anchors)
    assert "no EC key" in result.err


def test_max_keeps_the_users_own_roots_first_then_those_valid_longest(rootlet, tmp_path, root):
    assert rootlet("store", "build", "mozilla", "ca.pem", "--max", 4).code == 0
    manifest = json.loads((tmp_path / "certs/roots.json").read_text())
    by_source = {entry["source"]: 0 for entry in manifest["anchors"]}
    for entry in manifest["anchors"]:
        by_source[entry["source"]] += 1
    assert by_source == {"ca.pem": 1, "mozilla": 3}
    latest = sorted((cert.not_valid_after_utc for cert in mozilla_certificates()), reverse=True)[:3]
    expected = {f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in latest}
    assert {entry["not_after"] for entry in manifest["anchors"] if entry["source"] == "mozilla"} == expected


def test_suffix_and_exact_need_a_file_and_exclude_each_other(rootlet, root):
    for arguments in (["--suffix", "lan"], ["--exact"], ["ca.pem", "--exact", "--suffix", "lan"]):
        result = rootlet("store", "build", *arguments)
        assert result.code == 2
        assert result.err.count("\n") == 1


def test_a_publisher_can_be_carried(rootlet, tmp_path, root):
    rootlet("keys", "new", "acme", "--no-passphrase")
    assert rootlet("store", "build", "ca.pem", "--publisher", "acme.pem").code == 0
    assert read(tmp_path / "certs/roots.rtlt").publisher is not None
    assert rootlet("store", "build", "ca.pem", "--publisher", "ca.pem").code == 1


def test_the_manifest_says_everything_about_an_anchor(rootlet, tmp_path, root):
    rootlet("store", "build", "ca.pem", "--suffix", "lan")
    (entry,) = json.loads((tmp_path / "certs/roots.json").read_text())["anchors"]
    (anchor,) = read(tmp_path / "certs/roots.rtlt").anchors
    assert entry == {
        "subject": "CN=Private Root",
        "name": "Private Root",
        "source": "ca.pem",
        "kind": "RSA",
        "key": "RSA 2048",
        "sha256": root.certificate.fingerprint(hashes.SHA256()).hex(),
        "spki_sha256": hashlib.sha256(anchor.spki).hexdigest(),
        "index_key": anchor.index_key.hex(),
        "not_before": f"{root.certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{root.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "distrust_after": None,
        "path_length": None,
        "dns_suffixes": ["lan"],
        "name_constraints": None,
        "bytes": 8 + 9 + 1 + 4 + 256,
    }


def test_nothing_is_written_when_a_build_fails(rootlet, tmp_path, root):
    (tmp_path / "leaf.pem").write_bytes(make_certificate(ca=False).pem)
    before = sorted(tmp_path.iterdir())
    result = rootlet("store", "build", "leaf.pem")
    assert result.code == 2
    assert result.err.startswith("rootlet: certificate 1 of leaf.pem is no CA")
    assert result.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--output", "certs/roots.json"],
        ["--output", "no/such/folder/roots.rtlt"],
        ["--max", "0"],
        ["--block", "nothing"],
        ["--publisher", "nothing.pem"],
        ["--host-list", "nothing.txt"],
        ["--sequence", str(1 << 32)],
    ],
    ids=lambda arguments: arguments[0] + " " + arguments[1][:12],
)
def test_wrong_usage_is_one_line_and_writes_nothing(rootlet, tmp_path, root, arguments):
    result = rootlet("store", "build", "ca.pem", *arguments)
    assert result.code in (1, 2)
    assert result.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]


def test_more_anchors_of_one_subject_than_a_board_loads_are_noted(rootlet, tmp_path):
    (tmp_path / "ca.pem").write_bytes(b"".join(make_certificate("Same").pem for _ in range(5)))
    result = rootlet("store", "build", "ca.pem")
    assert "boards use only 4 of the anchors with the subject Same" in result.err


def test_json_output_is_only_json(rootlet, root):
    answer = json.loads(rootlet("store", "build", "ca.pem", "--json").out)
    assert (answer["state"], answer["path"], len(answer["anchors"])) == ("new", "certs/roots.rtlt", 1)


# --------------------------------------------------------------------------------------- show, check and diff


def test_show_names_the_anchors_from_the_manifest_and_from_mozillas_list(rootlet, tmp_path, root):
    rootlet("store", "build", "mozilla", "ca.pem", "--suffix", "lan")
    result = rootlet("store", "show", "certs/roots.rtlt")
    assert result.code == 0
    assert "Private Root (only lan)" in result.out and "ISRG Root X1" in result.out
    (tmp_path / "certs/roots.json").unlink()
    names = {
        entry["name"] for entry in json.loads(rootlet("store", "show", "certs/roots.rtlt", "--json").out)["anchors"]
    }
    assert "ISRG Root X1" in names and None in names


def test_a_certificates_name_cannot_send_codes_to_the_terminal(rootlet, tmp_path):
    (tmp_path / "ca.pem").write_bytes(make_certificate("evil \x1b]0;title\x07 [bold]root").pem)
    rootlet("store", "build", "ca.pem")
    result = rootlet("store", "show", "certs/roots.rtlt")
    assert "\x1b" not in result.out and "evil ?]0;title? [bold]root" in result.out


def test_check_says_what_is_wrong_and_exits_with_1(rootlet, tmp_path, root):
    rootlet("store", "build", "ca.pem")
    store = tmp_path / "certs/roots.rtlt"
    result = rootlet("store", "check", store)
    assert (result.code, result.err) == (0, "")
    assert "valid, not signed; 1 anchor, sequence 1" in result.out
    good = store.read_bytes()
    for change, words in (
        (good[:-1], "cut short"),
        (good[:-1] + b"\0", "digest does not match"),
        (with_digest(good[:5] + b"\1" + good[6:]), "unknown flags"),
        (b"", "0 bytes long"),
    ):
        store.write_bytes(change)
        for command in ("check", "show"):
            result = rootlet("store", command, store)
            assert (result.code, result.out) == (1, "")
            assert words in result.err and str(store) in result.err
            assert result.err.count("\n") == 1
    store.unlink()
    assert rootlet("store", "check", store).code == 2


def test_check_notes_a_store_past_its_use(rootlet, tmp_path, root):
    rootlet("store", "build", "ca.pem", "--issued-at", "2001-01-01", "--not-used-after", "2001-02-01")
    result = rootlet("store", "check", "certs/roots.rtlt")
    assert result.code == 0
    assert "not used after 2001-02-01" in result.err


def test_diff_shows_added_removed_and_changed_anchors(rootlet, tmp_path):
    kept_key = ec_key()
    old = make_certificate("Kept", key=kept_key)
    new = make_certificate("Kept", key=kept_key, not_after=NOW + timedelta(days=999))
    (tmp_path / "old.pem").write_bytes(old.pem + make_certificate("Removed").pem + make_certificate("Same").pem)
    same = (tmp_path / "old.pem").read_bytes()[len(old.pem) :]
    same = same[same.index(b"-----END") + 26 :]
    (tmp_path / "new.pem").write_bytes(new.pem + make_certificate("Added").pem + same)
    rootlet("store", "build", "old.pem", "-o", "old.rtlt")
    rootlet("store", "build", "new.pem", "-o", "new.rtlt", "--sequence", 2, "--block", "ab" * 32)
    result = rootlet("store", "diff", "old.rtlt", "new.rtlt")
    assert result.code == 0
    lines = result.out.splitlines()
    assert "sequence: 1 -> 2" in lines
    assert "+ Added" in lines and "- Removed" in lines
    assert any(line.startswith("~ Kept: not_after ") for line in lines)
    assert f"+ blocked key {'ab' * 16}" in lines
    assert not any("Same" in line for line in lines)
    answer = json.loads(rootlet("store", "diff", "old.rtlt", "new.rtlt", "--json").out)
    assert [len(answer[part]) for part in ("added", "removed", "changed")] == [1, 1, 1]
    assert list(answer["changed"][0]["changes"]) == ["not_after"]


def test_diff_of_equal_stores_says_so(rootlet, tmp_path, root):
    rootlet("store", "build", "ca.pem")
    result = rootlet("store", "diff", "certs/roots.rtlt", "certs/roots.rtlt")
    assert (result.code, result.out) == (0, "no difference\n")


def test_the_header_fields_a_board_reads_are_those_asked_for(rootlet, tmp_path, root):
    rootlet("store", "build", "ca.pem", "--sequence", 9, "--issued-at", "2026-01-01", "--not-used-after", "2030-01-01")
    fields = struct.unpack_from("<III", (tmp_path / "certs/roots.rtlt").read_bytes(), 8)
    assert fields == (9, 1767225600, 1893456000)
