"""rootlet.errors and rootlet.diagnosis: every failure gets a class, a cause and a remedy, and keeps what caused it."""

import sys
from errno import ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EIO, ENOMEM, ETIMEDOUT

import make
from rootlet import errors
from rootlet.diagnosis import from_dial, from_handshake, from_stream, from_transport

HOST = "a.example"


def os_error(number):
    return OSError(number, "") if sys.implementation.name == "cpython" else OSError(number)


class Observer:
    def __init__(self, **fields):
        self.error = fields.get("error")
        self.refusal = fields.get("refusal")
        self.alert = fields.get("alert")
        self.encrypted = fields.get("encrypted", False)
        self.certificate_requested = fields.get("certificate_requested", False)


class Policy:
    seen = ("sha256//x", "sha256//y")

    def __init__(self, violation=None, error=None):
        self.violation = violation
        self.error = error


class Context:
    def __init__(self, credentials):
        self.credentials = credentials


class Handshake:
    issuers = _issuers_known = ()

    def __init__(self, **fields):
        self.observer = Observer(**fields)
        self.policy = Policy(fields.get("violation"), fields.get("policy_error"))
        self.loaded = fields.get("loaded", ())
        self.retry = fields.get("retry", False)
        self.missing = fields.get("missing")
        self.free_bytes = fields.get("free_bytes")
        self.context = Context(fields.get("credentials"))


def handshake(failure, **fields):
    """What a handshake that failed with `failure` raises: with a cause, a remedy and the name of the host."""
    result = from_handshake(failure, Handshake(**fields), HOST)
    assert isinstance(result, errors.TLSError), result
    assert result.message and result.remedy and HOST in result.message, result.message
    assert str(result) == "%s. %s." % (result.message, result.remedy)
    return result


def test_every_class_is_a_tls_error_and_an_os_error_with_a_remedy():
    names = [line.split("|")[0] + "Error" for line in errors.CLASSES.strip().split("\n")]
    assert len(names) > 20
    for name in names + ["TrustStoreMissingError", "TrustStoreDamagedError", "TrustStoreExpiredError"]:
        kind = getattr(errors, name)
        assert kind.__name__ == name and kind is getattr(errors, name)
        assert issubclass(kind, errors.TLSError) and issubclass(kind, OSError), name
        assert kind.remedy or name == "NetworkError", name
    for kind in (errors.HostnameError, errors.ExpiredError, errors.NotYetValidError, errors.UnknownIssuerError):
        assert issubclass(kind, errors.CertificateError)
    for kind in (errors.NotTLSError, errors.AlertError):
        assert issubclass(kind, errors.HandshakeError)


def test_numbers_of_mbed_tls():
    for number, kind in (
        (-0x2700, errors.CertificateError),
        (-0x7A00, errors.CertificateError),
        (-0x7680, errors.UnknownIssuerError),
        (-0x7200, errors.NotTLSError),
        (-0x7280, errors.HandshakeError),
        (-0x7780, errors.AlertError),
        (-0x7880, errors.HandshakeError),
        (-0x6E00, errors.HandshakeError),
        (-0x1234, errors.HandshakeError),  # one that nobody knows
    ):
        error = os_error(number)
        result = handshake(error)
        assert type(result) is kind, (number, result)
        assert result.cause is error
        if kind is not errors.UnknownIssuerError:
            assert "0x%04x" % -number in result.message


def test_a_small_number_of_mbed_tls_is_not_taken_for_one_of_the_network():
    # A raw ASN.1 error of Mbed TLS in errno's clothes; the transport reported nothing.
    for number in (98, 104, 102, 3):
        assert type(handshake(os_error(number))) is errors.CertificateError


def test_what_the_transport_raised_comes_before_what_mbed_tls_made_of_it():
    for raised, kind in (
        (os_error(ETIMEDOUT), errors.DeadlineError),
        (os_error(ECONNRESET), errors.ConnectError),
        (os_error(EIO), errors.ConnectError),
        (ValueError("odd"), errors.HandshakeError),
    ):
        result = handshake(os_error(-0x7200), error=raised)
        assert type(result) is kind
        assert result.cause is raised


def test_no_memory_is_called_so_wherever_it_was_missed():
    for error, fields in (
        (MemoryError(), {}),
        (os_error(ENOMEM), {}),
        (os_error(-0x7200), {"error": MemoryError()}),
        (os_error(-0x3000), {"violation": ("internal", 0, "x", ""), "policy_error": MemoryError()}),
        # Mbed TLS's: X.509, PK, ECP, SSL; with a low-level code; a low-level code alone
        (os_error(-0x2880), {}),
        (os_error(-0x3F80), {}),
        (os_error(-0x4D80), {}),
        (os_error(-0x7F00), {}),
        (os_error(-0x23EA), {}),
        (os_error(-0x4F90), {}),
        (os_error(0x10), {}),
        (os_error(0x6A), {}),
    ):
        result = handshake(error, **fields)
        assert type(result) is errors.HandshakeError
        assert "memory" in result.message


def test_an_interrupt_stays_an_interrupt():
    for error in (KeyboardInterrupt(), SystemExit(), AttributeError("a fault")):
        assert from_handshake(error, Handshake(), HOST) is error
    interrupt = KeyboardInterrupt()
    assert from_handshake(os_error(-0x7200), Handshake(error=interrupt), HOST) is interrupt
    assert from_stream(os_error(-0x7200), Observer(error=interrupt), HOST) is interrupt


def test_our_own_errors_pass_unchanged():
    own = errors.TrustStoreDamagedError("/x", "torn")
    assert from_handshake(os_error(-0x7200), Handshake(error=own), HOST) is own
    assert from_dial(own, HOST, 1) is own
    assert from_transport(own, "ever") is own


def test_texts_of_the_chain_check():
    for text, kind in (
        ("The certificate validity has expired\n", errors.ExpiredError),
        ("The certificate validity starts in the future\n", errors.NotYetValidError),
        ("The certificate Common Name (CN) does not match with the expected CN\n", errors.HostnameError),
        ("The certificate is not correctly signed by the trusted CA\n", errors.UnknownIssuerError),
        ("The certificate is signed with an unacceptable hash.\n", errors.CertificateError),
        ("The certificate has been revoked (is on a CRL)\n", errors.CertificateError),
        ("Something that a later Mbed TLS says\n", errors.CertificateError),
    ):
        error = ValueError(text)
        result = handshake(error)
        assert type(result) is kind, text
        assert result.cause is error and result.reasons


def test_several_reasons_are_all_kept():
    text = (
        "The certificate validity has expired\nThe certificate Common Name (CN) does not match with the expected CN\n"
    )
    result = handshake(ValueError(text))
    assert len(result.reasons) == 2
    assert type(result) is errors.HostnameError


def test_issuers_that_came_too_late_are_no_missing_root():
    for more in ({}, {"loaded": ((False, 0, None),)}):
        error = handshake(ValueError("not correctly signed by the trusted CA"), retry=True, **more)
        assert type(error) is errors.UnknownIssuerError
        assert "TLS 1.3" in error.message and "Connect again" in error.remedy


def test_the_missing_issuer_is_named():
    for error in (os_error(-0x7680), ValueError("The certificate is not correctly signed by the trusted CA\n")):
        assert "Root 7" in handshake(error, missing=make.name(cn="Root 7")).message
        assert "did not sign" in handshake(error, loaded=[(False, 0, None)], missing=make.name(cn="x")).message
        assert handshake(error).message


def test_another_certificate_than_the_one_that_is_trusted_is_called_so():
    refusal = ("issuer-unknown", 0, "was not issued by a trust anchor", "RFC 5280, 6.1")
    for error, violation in (
        (os_error(-0x3000), refusal),
        (ValueError("not correctly signed by the trusted CA\n"), None),
    ):
        result = handshake(error, violation=violation, loaded=[(True, 0, None)])
        assert type(result) is errors.UnknownIssuerError and "another certificate" in result.message


def test_a_refused_record_says_what_came_instead():
    assert "HTTP" in handshake(os_error(-0x7200), refusal=b"HTTP/").message
    result = handshake(os_error(EIO), refusal=b"SSH-2")
    assert type(result) is errors.NotTLSError and "SSH-2" in result.message
    result = handshake(os_error(EIO), refusal="it sent too much")
    assert type(result) is errors.HandshakeError and "too much" in result.message


def test_a_violated_rule_is_kept_with_its_place():
    for rule, kind in (
        ("name-mismatch", errors.HostnameError),
        ("pin-mismatch", errors.PinError),
        ("key-usage", errors.PolicyError),
        ("issuer-unknown", errors.UnknownIssuerError),
    ):
        result = handshake(os_error(1), violation=(rule, 2, "a rule is broken", "RFC 5280, 4.2"))
        assert type(result) is kind, rule
        if kind is not errors.UnknownIssuerError:
            assert (result.rule, result.depth) == (rule, 2)
            assert "RFC 5280" in result.message
        if kind is errors.PinError:
            assert result.seen == Policy.seen and "sha256//x, sha256//y" in result.message


def test_alerts_are_named():
    for number, name in ((40, "handshake_failure"), (70, "protocol_version"), (112, "unrecognized_name"), (200, "200")):
        result = handshake(os_error(-0x7780), alert=number)
        assert type(result) is errors.AlertError
        assert result.alert == number and name in result.message
    assert handshake(os_error(-0x7780)).alert is None


def test_a_demanded_certificate_and_a_wrong_pre_shared_key_are_told_from_other_alerts():
    fatal = os_error(-0x7780)
    assert "demands a client certificate" in handshake(fatal, alert=40, certificate_requested=True).message
    given = handshake(fatal, alert=48, certificate_requested=True, credentials=object())
    assert "unknown_ca" in given.message and "client certificate" in given.remedy
    assert "pre-shared key" in handshake(fatal, alert=20, credentials=object()).message
    assert "pre-shared key" in handshake(fatal, alert=51, credentials=object()).message
    assert "client_key" in handshake(fatal, alert=51, certificate_requested=True, credentials=object()).remedy


def test_with_tls_1_3_a_late_alert_may_be_about_the_client_certificate():
    assert "client_cert" in from_stream(os_error(-0x7780), Observer(encrypted=True), HOST).remedy
    assert "client_cert" in from_stream(os_error(104), Observer(encrypted=True, error=os_error(104)), HOST).remedy
    assert "client_cert" in handshake(os_error(-0x7280), encrypted=True, error=os_error(104)).remedy
    assert "client_cert" not in from_stream(os_error(-0x7780), Observer(), HOST).remedy
    assert "client_cert" not in handshake(os_error(-0x7280), error=os_error(104)).remedy


def test_dialling():
    for number, kind in (
        (ECONNREFUSED, errors.ConnectError),
        (EHOSTUNREACH, errors.ConnectError),
        (ETIMEDOUT, errors.DeadlineError),
        (9999, errors.ConnectError),
    ):
        error = os_error(number)
        result = from_dial(error, HOST, 443)
        assert type(result) is kind and result.cause is error
        assert HOST in result.message and "443" in result.message and result.remedy


def test_a_stream_that_was_cut_off_stays_one():
    error = errors.TruncationError("cut")
    assert from_stream(error, Observer(), HOST) is error


def test_a_broken_stream():
    for number in (-0x7180, -0x7200, -0x7780, -0x1234, ETIMEDOUT, -ETIMEDOUT, 9):
        result = from_stream(os_error(number), Observer(), HOST)
        assert isinstance(result, errors.TLSError) and result.message and result.remedy
    result = from_stream(os_error(-0x7200), Observer(error=os_error(ETIMEDOUT)), HOST)
    assert type(result) is errors.DeadlineError
    fault = AttributeError()
    assert from_stream(fault, Observer(), HOST) is fault


def test_a_chain_that_was_not_checked_for_want_of_memory_is_not_called_forged():
    refusal = ("issuer-unknown", 1, "was not issued by a trust anchor", "RFC 5280, 6.1")
    scarce = handshake(ValueError("not trusted"), violation=refusal, loaded=[(False, 0, None)], free_bytes=1200)
    assert type(scarce) is errors.HandshakeError and "1200 bytes of memory" in scarce.message
    plenty = handshake(ValueError("not trusted"), violation=refusal, loaded=[(False, 0, None)], free_bytes=60000)
    assert type(plenty) is errors.UnknownIssuerError and "forged" in plenty.remedy


def test_a_certificate_that_mbed_tls_cannot_read_is_the_servers_fault():
    for number in (-0x2180, -0x21E6, -0x3B00, -0x3D62):
        assert type(handshake(os_error(number))) is errors.CertificateError


def test_a_server_without_the_key_of_its_certificate_is_called_so():
    for number in (-0x4E00, -0x4380, -0x4FE2, -0x4FE6):
        result = handshake(os_error(number))
        assert type(result) is errors.CertificateError and "prove" in result.message


def test_an_interrupt_while_the_chain_is_judged_stays_an_interrupt():
    raised = KeyboardInterrupt()
    result = from_handshake(os_error(-0x3000), Handshake(policy_error=raised), HOST)
    assert result is raised


def test_what_is_no_exception_is_no_attribute():
    for name in ("FooError", "Resolve", "Resolve.....", "Error", "", "Resolve||CheckError"):
        try:
            getattr(errors, name)
            raise AssertionError(name)
        except AttributeError:
            pass
