"""`rootlet explain`: every known code has a cause and a remedy, sums are taken apart, nothing unknown is made up."""

from __future__ import annotations

import ast
import errno
import io
import json
import re
import subprocess
import sys

import pytest
from rootlet_host.explain import read_arguments, read_text, tables
from rootlet_host.interpreter import find_micropython
from rootlet_host.paths import device_library


def names(*arguments):
    reading = read_arguments(arguments)
    assert not reading.unknown
    return [entry.name for entry in reading.explanations]


def in_text(text):
    return [entry.name for entry in read_text(text).explanations]


# --------------------------------------------------------------------------------------------------- the tables


def test_every_code_of_mbedtls_has_a_number_of_its_own_a_cause_and_a_remedy():
    known = tables.mbedtls_errors()
    assert len(known) == len(tables.read_table("mbedtls")) == 231  # what the headers of 3.6.6 define
    assert len({entry.name for entry in known.values()}) == len(known)
    for number, entry in known.items():
        # mbedtls/error.h: high-level codes are multiples of 0x80 from 0x1000 to 0x7F80, low-level ones are below.
        assert 0 < number < 0x80 or (0x1000 <= number <= 0x7F80 and number % 0x80 == 0), entry
        assert entry.code == f"-0x{number:04X}"


@pytest.mark.parametrize("table", ["mbedtls", "verify", "alerts", "errno", "modem", "micropython", "rootlet"])
def test_no_field_is_empty_and_no_shared_text_is_missing(table):
    widths = {"rootlet": {3, 4}, "micropython": {4}, "mbedtls": {4}}.get(table, {5})
    for row in tables.read_table(table):
        assert len(row) in widths, row
        assert all(row) and "@" not in "".join(row), row


def test_every_exception_of_the_device_is_known_with_cause_and_remedy():
    source = (device_library() / "rootlet" / "errors.py").read_text()
    classes = {
        *re.findall(r"^class (\w+)\(", source, re.M),
        *(f"{kind}Error" for kind in re.findall(r"^(\w+)\|", source, re.M)),
    }
    assert len(classes) > 20
    assert classes | {"ModemError"} == tables.exceptions().keys()
    assert all(entry.cause and entry.remedy for entry in tables.exceptions().values())
    assert {row[1] for row in tables.read_table("rootlet") if row[0] == "error"} <= tables.exceptions().keys()


def test_the_remedy_of_an_exception_is_the_devices_own_also_where_it_is_inherited():
    source = (device_library() / "rootlet" / "errors.py").read_text()
    assert tables.exceptions()["ClockError"].remedy in source
    assert tables.exceptions()["TrustStoreMissingError"].remedy == tables.exceptions()["TrustStoreError"].remedy


def test_every_rule_of_the_chain_policy_is_known_in_the_devices_own_words():
    rules = list(tables.device_rules())
    assert len(rules) > 30
    assert {name for name, *_ in rules} == tables.rules().keys()
    for name, text, section in rules:
        entry, _ = tables.rules()[name]
        assert text in entry.cause and entry.source == section and entry.remedy


def test_the_errnos_are_those_of_the_real_interpreter():
    program = "import errno; print(errno.errorcode)"
    done = subprocess.run([find_micropython(), "-c", program], capture_output=True, text=True, check=True, timeout=30)
    real = ast.literal_eval(done.stdout)
    ours = {int(row[0]): row[2] for row in tables.read_table("errno") if row[0] != "-"}
    assert len(real) > 15
    assert real.items() <= ours.items()
    if sys.platform == "linux":
        assert all(getattr(errno, name) == number for number, name in ours.items() if number > 0)


def test_the_alerts_that_the_device_knows_have_the_same_names_here():
    source = (device_library() / "rootlet" / "alerts.py").read_text()
    known = {int(number): name for number, name in re.findall(r"^(\d+)\|([a-z_]+)\|", source, re.M)}
    assert len(known) > 25
    assert known.items() <= {number: entry.name for number, entry in tables.alerts().items()}.items()


# --------------------------------------------------------------------------------------------- single codes


@pytest.mark.parametrize("text", ["-0x7200", "0x7200", "-0X7200", "-29184", "29184", "SSL_INVALID_RECORD", "(-0x7200)"])
def test_a_code_may_be_written_in_any_way(text):
    assert names(text) == ["MBEDTLS_ERR_SSL_INVALID_RECORD"]


def test_every_sum_of_a_high_and_a_low_code_is_taken_apart():
    known = tables.mbedtls_errors()
    high = [number for number in known if number >= 0x1000]
    low = [number for number in known if number < 0x80]
    for above in high:
        for below in low:
            entry = tables.mbedtls(above + below)
            assert entry.name == f"{known[above].name} + {known[below].name}"


def test_a_sum_says_both_causes_and_the_remedy_of_the_one_that_decides():
    (entry,) = read_arguments(["-0x21E2"]).explanations
    assert entry.name == "MBEDTLS_ERR_X509_INVALID_FORMAT + MBEDTLS_ERR_ASN1_UNEXPECTED_TAG"
    assert "DER" in entry.remedy and "in detail: DER data has" in entry.cause
    (entry,) = read_arguments([f"-0x{0x3D00 + 0x6A:x}"]).explanations  # a key for which there was no memory
    assert "memory" in entry.remedy


def test_a_sum_with_an_unknown_part_is_unknown():
    assert read_arguments(["-0x7201"]).explanations != []  # ERROR_GENERIC_ERROR
    assert read_arguments(["-0x7279"]).unknown == ["-0x7279"]
    assert read_arguments(["-0x1060"]).unknown == ["-0x1060"]


def test_a_raw_code_that_looks_like_an_errno_is_named_as_both():
    assert names("98") == ["EADDRINUSE", "MBEDTLS_ERR_ASN1_UNEXPECTED_TAG"]
    assert names("OSError: 104") == ["ECONNRESET", "MBEDTLS_ERR_ASN1_INVALID_DATA"]


def test_a_number_that_means_two_things_on_two_ports_is_named_as_both_unless_its_name_says_which():
    assert names("113") == ["EHOSTUNREACH", "ECONNABORTED"]
    assert in_text("OSError: [Errno 113] ECONNABORTED") == ["ECONNABORTED"]
    (entry,) = read_arguments(["EHOSTUNREACH"]).explanations
    assert entry.code == "113, 118 on ESP32"


def test_verify_flags_are_taken_apart():
    assert names("flags 0x0C") == ["MBEDTLS_X509_BADCERT_CN_MISMATCH", "MBEDTLS_X509_BADCERT_NOT_TRUSTED"]
    assert "MBEDTLS_X509_BADCERT_NOT_TRUSTED" in names("0x08")
    assert names("BADCERT_FUTURE") == ["MBEDTLS_X509_BADCERT_FUTURE"]
    assert read_arguments(["0x900000"]).unknown


def test_alerts_are_found_by_number_and_by_name():
    assert names("alert 48") == names("unknown_ca") == names("MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA") == ["unknown_ca"]
    assert names("40") == ["handshake_failure"]
    assert in_text("example.org ended the handshake with the alert certificate_required.") == ["certificate_required"]
    assert in_text("error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40") == [
        "handshake_failure"
    ]
    assert in_text("the stream ended without close_notify") == []


# ---------------------------------------------------------------------------------------------- lines of logs


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("OSError: (-29184, 'MBEDTLS_ERR_SSL_INVALID_RECORD')", ["MBEDTLS_ERR_SSL_INVALID_RECORD"]),
        ("OSError(-30592,)", ["MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE"]),
        ("mbedtls_ssl_handshake returned -0x7280 after 3 s", ["MBEDTLS_ERR_SSL_CONN_EOF"]),
        ("esp-tls-mbedtls: mbedtls_ssl_handshake error=-9984", ["MBEDTLS_ERR_X509_CERT_VERIFY_FAILED"]),
        ("h: no TLS record (it begins with b'x') (Mbed TLS error -0x7200)", ["MBEDTLS_ERR_SSL_INVALID_RECORD"]),
        ("OSError: [Errno 12] ENOMEM", ["ENOMEM", "MBEDTLS_ERR_MPI_DIVISION_BY_ZERO"]),
        ("OSError: -202", ["EAI_FAIL"]),
        ("OSError: [addrinfo error -2]", ["addrinfo error"]),
        ("ValueError: invalid key", ["invalid key"]),
        ("MemoryError: memory allocation failed, allocating 16709 bytes", ["memory allocation failed"]),
        ("MBEDTLS_ERR_PK_KEY_INVALID_FORMAT", ["MBEDTLS_ERR_PK_KEY_INVALID_FORMAT"]),
        ("+CME ERROR: 10", ["SIM not inserted"]),
        ("+CME ERROR: SIM PIN required", ["SIM PIN required"]),
        ("b'\\r\\n+CMS ERROR: 331\\r\\n'", ["no network service"]),
        ("ClockError: the clock is not set. Set the clock", ["ClockError"]),
        ("PolicyError: the server's certificate ('x') has no subject alternative name (RFC 9525, 2)", [
            "PolicyError",
            "san-missing",
        ]),
        ("refused by rule key-weak at depth 1", ["key-weak"]),
        ("the rule 'usage' is broken", ["usage"]),
    ],
)  # fmt: skip
def test_lines_of_logs_are_understood(line, expected):
    assert names(line) == expected


def test_what_mbedtls_itself_says_of_a_chain_is_understood():
    text = "The certificate validity has expired\nThe certificate is not correctly signed by the trusted CA\n"
    assert in_text(text) == ["MBEDTLS_X509_BADCERT_EXPIRED", "MBEDTLS_X509_BADCERT_NOT_TRUSTED"]


def test_the_texts_of_real_failures_on_micropython_are_understood():
    program = (
        "import tls, socket\n"
        "for attempt in (lambda c: c.load_verify_locations(b'x'), lambda c: c.load_cert_chain(b'x', b'x'),\n"
        "                lambda c: c.wrap_socket(socket.socket()), lambda c: bytearray(1 << 40)):\n"
        "    try: attempt(tls.SSLContext(tls.PROTOCOL_TLS_CLIENT))\n"
        "    except Exception as error: print(type(error).__name__ + ':', error)\n"
    )
    done = subprocess.run([find_micropython(), "-c", program], capture_output=True, text=True, check=True, timeout=30)
    found = [in_text(line) for line in done.stdout.splitlines()]
    assert found == [
        ["invalid cert"],
        ["invalid key"],
        ["CERT_REQUIRED requires server_hostname"],
        ["memory allocation failed"],
    ]


def test_addresses_and_other_numbers_in_a_log_are_no_errors():
    reading = read_text("I (32758) wifi: heap 0x3ffb1234 free 29184 bytes, took 104 ms, version 1.2, E (12) x")
    assert not reading.explanations and not reading.unknown


def test_words_of_rules_in_a_log_are_no_rules():
    assert in_text("internal usage of serial version 3, constraints: none") == []


# ------------------------------------------------------------------------------------------------- the command


def test_a_negative_code_is_an_argument_not_an_option(rootlet):
    result = rootlet("explain", "-0x7200")
    assert result.code == 0, result.err
    assert "-0x7200  MBEDTLS_ERR_SSL_INVALID_RECORD" in result.out
    assert re.search(r"  cause +\S.+\n  remedy +\S", result.out)


def test_several_at_once_each_once(rootlet):
    result = rootlet("explain", "-0x7200", "-29184", "san-missing", "ClockError", "--json")
    assert [entry["name"] for entry in json.loads(result.out)["errors"]] == [
        "MBEDTLS_ERR_SSL_INVALID_RECORD",
        "san-missing",
        "ClockError",
    ]


def test_a_line_without_quotation_marks_is_one_line(rootlet):
    result = rootlet("explain", "OSError:", "[Errno", "104]", "ECONNRESET", "--json")
    assert [entry["name"] for entry in json.loads(result.out)["errors"]] == [
        "ECONNRESET",
        "MBEDTLS_ERR_ASN1_INVALID_DATA",
    ]
    assert "SIM not inserted" in rootlet("explain", "+CME", "ERROR:", "10").out
    assert rootlet("explain", "alert", "40").out.count("remedy") == 1


def test_a_log_is_read_from_standard_input(rootlet, monkeypatch):
    log = b"connecting\n\xff\xfe\nOSError: -29184\nOSError: -29184\nrule name-mismatch\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log)))
    result = rootlet("explain", "-", "--json")
    assert result.code == 0
    assert [entry["name"] for entry in json.loads(result.out)["errors"]] == [
        "MBEDTLS_ERR_SSL_INVALID_RECORD",
        "name-mismatch",
    ]


def test_an_unknown_code_ends_with_1_and_the_known_ones_are_explained(rootlet):
    result = rootlet("explain", "-0x7200", "-0x1279")
    assert result.code == 1
    assert "INVALID_RECORD" in result.out
    assert result.err.startswith("rootlet: not known: -0x1279") and result.err.count("\n") == 1
    result = rootlet("explain", "--json", "-0x1279")
    assert (result.code, json.loads(result.out)) == (1, {"errors": [], "unknown": ["-0x1279"]})


@pytest.mark.parametrize(
    "text", ["-99999", "nonsense", "-z", "OSError: -77777", "MBEDTLS_ERR_NO_SUCH", "200", "alert 3"]
)
def test_what_nobody_knows_is_said_so(rootlet, text):
    result = rootlet("explain", text)
    assert (result.code, result.out) == (1, "")
    assert "not known: " in result.err


def test_hexadecimal_digits_without_0x_are_recognized_in_the_complaint(rootlet):
    assert "for MBEDTLS_ERR_SSL_INVALID_RECORD write -0x7200" in rootlet("explain", "7200").err


def test_a_log_without_an_error_says_so(rootlet, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"all is well\n")))
    result = rootlet("explain", "-")
    assert result.code == 1 and "no error code" in result.err


def test_control_characters_of_a_log_do_not_reach_the_terminal(rootlet):
    assert "\x1b" not in rootlet("explain", "+CME ERROR: \x1b[31mred").err
    assert rootlet("explain", "").code == 2
