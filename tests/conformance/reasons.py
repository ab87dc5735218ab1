"""Why rootlet and a case of x509-limbo disagree. Every disagreement needs an entry, and every entry a disagreement.

One tuple per reason: a short title, the explanation, and the cases by policy.
"""

from __future__ import annotations

DEFAULT = ("default",)
WEBPKI = ("webpki",)
BOTH = ("default", "webpki")

_CN = ("ipv4-hex", "ipv4-leading-zeros", "ipv6-uppercase", "ipv6-uncompressed", "ipv6-non-rfc5952", "utf8-vs-punycode")

REASONS: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = [
    (
        'Only under `policy="webpki"`',
        "RFC 5280 asks this of those who issue certificates, or the CA/Browser Forum does; private CAs often break it. "
        "OpenSSL 3.0 (`openssl verify -purpose sslserver`) and Go 1.24 (`crypto/x509`) accept every one of these "
        "chains. The policy `webpki` refuses them.",
        DEFAULT,
        (
            "rfc5280::aki::leaf-missing-aki",
            "rfc5280::aki::intermediate-missing-aki",
            "rfc5280::nc::invalid-dnsname-leading-period",
            "rfc5280::nc::not-allowed-in-ee-noncritical",
            "rfc5280::pc::ica-noncritical-pc",
            "rfc5280::san::noncritical-with-empty-subject",
            "rfc5280::san::underscore-dns",
            "rfc5280::serial::too-long",
            "rfc5280::serial::zero",
            "rfc5280::ski::root-missing-ski",
            "rfc5280::ski::intermediate-missing-ski",
            "rfc5280::root-non-critical-basic-constraints",
            "webpki::aki::root-with-aki-missing-keyidentifier",
            *(f"webpki::cn::{name}-mismatch" for name in _CN),
            "webpki::cn::punycode-not-in-san",
            "webpki::cn::not-in-san",
            "webpki::cn::case-mismatch",
            "webpki::eku::ee-anyeku",
            "webpki::eku::ee-critical-eku",
            "webpki::eku::ee-without-eku",
            "webpki::eku::root-has-eku",
            "webpki::san::san-critical-with-nonempty-subject",
        ),
    ),
    (
        "Key identifiers of a root",
        "The root's own authority key identifier is missing or does not fit. To rootlet, as to Go, a trust anchor is a "
        "name and a key (RFC 5280, 6.1.1, d), and these chains are good. OpenSSL takes such a root for a certificate "
        "that somebody else issued and looks for that issuer. The policy `webpki` refuses these chains.",
        DEFAULT,
        (
            "rfc5280::aki::cross-signed-root-missing-aki",
            "webpki::aki::root-with-aki-authoritycertissuer",
            "webpki::aki::root-with-aki-authoritycertserialnumber",
            "webpki::aki::root-with-aki-all-fields",
            "webpki::aki::root-with-aki-ski-mismatch",
        ),
    ),
    (
        "Public suffixes",
        "A wildcard directly under a public suffix of several labels (`*.co.uk`) can only be told from an ordinary one "
        "with the Public Suffix List, which has about 10,000 entries and changes every week: too much for a board. "
        "A suffix of one label (`*.com`) is refused. OpenSSL and Go accept these chains. (The policy `webpki` refuses "
        "them for their common name.)",
        DEFAULT,
        (
            "webpki::san::public-suffix-multi-label-wildcard-san",
            "webpki::san::public-suffix-private-namespace-wildcard-san",
        ),
    ),
    (
        "Critical extensions that Mbed TLS does not know",
        "Mbed TLS refuses to read a certificate with critical name constraints, or with any other critical extension "
        "that it does not know, before a callback is asked, even if the certificate is not on the path in question. "
        "Constraints that are not critical are enforced, and so are critical ones in a trust anchor.",
        BOTH,
        (
            "rfc5280::nc::nc-forbids-alternate-chain-ica",
            "rfc5280::nc::nc-forbids-same-chain-ica",
            "rfc5280::nc::nc-forbids-othername-noop",
            "rfc5280::unknown-critical-extension-unrelated-intermediate",
            "webpki::nc::nc-permits-dns-san-pattern",
        ),
    ),
    (
        "Self-issued certificates and path lengths",
        "Mbed TLS 3.6 counts a self-issued intermediate when it looks for that certificate's own issuer, so a path "
        "length that is used up exactly counts as exceeded. A callback can only refuse, not allow.",
        BOTH,
        ("pathlen::self-issued-certs-pathlen",),
    ),
    (
        "A CA's certificate as the server's",
        "The suite has it both ways: `webpki::ca-as-leaf` is the same chain and must be refused. rootlet refuses it "
        "under both policies.",
        BOTH,
        ("rfc5280::ca-as-leaf", "pathlen::validation-ignores-pathlen-in-leaf"),
    ),
    (
        "Name constraints that are not critical",
        "The suite has it both ways: `webpki::nc::permitted-dns-match-noncritical` is the same chain and must be "
        "accepted. rootlet accepts it and enforces the constraints.",
        BOTH,
        ("rfc5280::nc::permitted-dns-match-noncritical",),
    ),
    (
        "No extended key usage",
        "The suite has it both ways: `webpki::eku::ee-without-eku` is the same chain and must be refused.",
        WEBPKI,
        ("rfc5280::eku::ee-without-eku",),
    ),
    (
        "Common names",
        "The common name of these servers' certificates is `example.com`, which is not among their subject alternative "
        "names. BR 7.1.4.3 forbids that, and `webpki::cn::not-in-san` wants such a certificate refused.",
        WEBPKI,
        (
            "rfc5280::nc::permitted-dns-match-more",
            "rfc5280::nc::permitted-ipv4-match",
            "rfc5280::nc::permitted-ipv6-match",
            "webpki::san::exact-localhost-ip-san",
            "webpki::san::leftmost-wildcard-san",
        ),
    ),
    (
        "A cross-signed trust anchor without an authority key identifier",
        "The suite has it both ways: the trust anchor is like that of `rfc5280::aki::cross-signed-root-missing-aki`, "
        "which must be refused.",
        WEBPKI,
        ("cve::cve-2024-0567",),
    ),
]
