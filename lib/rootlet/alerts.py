"""TLS alerts in words. Loaded when one came."""

from micropython import const
from rootlet.errors import entry

# RFC 8446, 6.2, and RFC 5246, 7.2: number, name, what the server does. Read by errors.entry.
_ALERTS = const(
    """
0|close_notify|
10|unexpected_message|
20|bad_record_mac|
22|record_overflow|
40|handshake_failure|has no cipher suite in common with this board, or wants a client certificate
42|bad_certificate|
43|unsupported_certificate|
44|certificate_revoked|
45|certificate_expired|
46|certificate_unknown|
47|illegal_parameter|
48|unknown_ca|does not know the issuer of this board's client certificate
49|access_denied|refuses this board
50|decode_error|
51|decrypt_error|finds a signature of this board wrong: check client_key
70|protocol_version|wants another TLS version than this firmware speaks
71|insufficient_security|wants stronger cipher suites than this firmware has
80|internal_error|has a fault of its own: try later
86|inappropriate_fallback|
90|user_canceled|
100|no_renegotiation|
109|missing_extension|
110|unsupported_extension|
112|unrecognized_name|does not know this host name: check server_hostname
115|unknown_psk_identity|does not know this pre-shared key's identity
116|certificate_required|wants a client certificate: pass client_cert and client_key to the Context
120|no_application_protocol|
"""
)
_FATAL_ALERT = const(0x7780)  # MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE
_BAD_PROOF = const((20, 51))  # the other side's Finished does not fit


def name(number):
    """The name of an alert, "number 200" if it has none."""
    return (entry(_ALERTS, number) or ("number %s" % number,))[0]


def from_alert(number, handshake, host, error):
    """The AlertError for a fatal alert during `handshake`. `number`: its description, None if it was not seen."""
    from rootlet.errors import AlertError

    asked = handshake.observer.certificate_requested
    text = name(number)
    remedy = (entry(_ALERTS, number) or ("", ""))[1]
    message = "%s ended the handshake with the alert %s"
    if number is None:
        message = "%s ended the handshake with an alert (Mbed TLS error -0x%04x)"
        text = _FATAL_ALERT
    elif asked and handshake.credentials is None:
        message = "%s demands a client certificate, and there is none (alert %s)"
        remedy = entry(_ALERTS, 116)[1]
    elif 42 <= number <= 46:
        remedy = "refuses this board's client certificate"
    remedy = "The server " + remedy if remedy else None
    if number in _BAD_PROOF and not asked and handshake.credentials is not None:
        message = "%s has another pre-shared key for this identity (alert %s)"
        remedy = "Give both sides the same identity and key"
    alert = AlertError(message % (host, text), remedy, error)
    alert.alert = number
    return alert
