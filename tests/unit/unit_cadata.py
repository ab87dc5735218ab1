"""rootlet.cadata: which certificates may be trust anchors, and what is kept of them."""

import make
from make import raises
from rootlet.cadata import CertificateStore
from rootlet.errors import ConfigError

NAME = make.name(cn="Root")


def der(*extensions, **fields):
    """A self-signed certificate."""
    for field, value in (("issuer", NAME), ("subject", NAME), ("extensions", list(extensions) or None)):
        fields.setdefault(field, value)
    return make.certificate(**fields)


def anchor_of(data):
    (anchor,) = CertificateStore(data).lookup(NAME)
    return anchor


def refused(data):
    return str(raises(ConfigError, CertificateStore, data))


def test_a_ca_is_an_anchor_with_the_limits_of_its_certificate():
    plain = anchor_of(der(make.basic_constraints(), make.key_usage(0x04)))
    assert not plain.exact
    assert plain.constraints is None
    assert bytes(plain.key) == make.ec()
    limits = make.constraints([make.dns("a.example")])
    limited = anchor_of(der(make.basic_constraints(path_length=1), make.name_constraints([make.dns("a.example")])))
    assert limited.constraints == limits
    assert make.tlv(0x02, b"\1") in limited.certificate(NAME, 0)[-40:]


def test_a_self_signed_certificate_of_no_ca_is_trusted_as_itself():
    for data in (der(make.basic_constraints(ca=False)), der(make.san(make.dns("a.example")))):
        anchor = anchor_of(data)
        assert anchor.exact
        assert anchor.certificate(NAME, 0) == data


def test_a_root_of_version_1_is_a_ca_if_it_signed_itself():
    assert not anchor_of(der(version=1)).exact
    assert "neither a CA nor self-signed" in refused(der(version=1, issuer=make.name(cn="Another")))


def test_what_must_not_be_an_anchor_is_refused_with_the_reason():
    ca = make.basic_constraints()
    for data, words in (
        (der(make.san(make.dns("a.example")), issuer=make.name(cn="Another")), "neither a CA nor self-signed"),
        (der(ca, make.key_usage(0x80)), "must not sign certificates"),
        (der(ca, make.extended_key_usage(make.CLIENT_AUTH)), "other purposes than TLS servers"),
        (der(ca, make.extension("1.2.3.4", b"", critical=True)), "critical and unknown"),
        (der(ca, ca), "there twice"),
        (der(ca, subject=make.seq(), issuer=make.seq()), "empty subject"),
        (der(ca, spki=make.ec(make.P192, 24)), "a key other than"),
        (der(ca)[:-1], "cut short"),
    ):
        assert words in refused(data), words
    assert anchor_of(der(ca, make.extended_key_usage(make.CLIENT_AUTH, make.SERVER_AUTH)))


def test_the_index_of_the_bad_one_among_several_is_named():
    good = der(make.basic_constraints())
    assert "certificate 2 " in refused(good + good + der(make.basic_constraints(), make.key_usage(0x80)))
