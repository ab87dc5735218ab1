"""rootlet.psk: which cipher suites go with a pre-shared key."""

from make import raises
from rootlet.errors import ConfigError
from rootlet.psk import PreSharedKey, suites

GOOD = [
    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
    "TLS-DHE-PSK-WITH-AES-256-GCM-SHA384",
    "TLS-DHE-PSK-WITH-AES-128-CCM",
    "TLS-PSK-WITH-AES-128-GCM-SHA256",
]


def test_suites_with_forward_secrecy_come_first_and_weak_ones_not_at_all():
    weak = [
        "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
        "TLS-PSK-WITH-AES-128-CCM-8",
        "TLS-PSK-WITH-CAMELLIA-128-GCM-SHA256",
        "TLS-PSK-WITH-ARIA-128-GCM-SHA256",
        "TLS-RSA-PSK-WITH-AES-128-GCM-SHA256",
        "TLS-PSK-WITH-NULL-SHA256",
        "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
        "TLS1-3-AES-128-GCM-SHA256",
    ]
    assert suites(weak) == []
    assert suites(list(reversed(GOOD)) + weak) == [GOOD[0], GOOD[2], GOOD[1], GOOD[3]]


def test_a_suite_that_asks_for_a_certificate_is_refused():
    PreSharedKey.check_ciphers(None, GOOD)
    for name in ("TLS-RSA-PSK-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256"):
        assert name in str(raises(ConfigError, PreSharedKey.check_ciphers, None, GOOD + [name]))
