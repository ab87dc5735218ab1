"""rootlet.rules: every rule has words, and what comes from a stranger is printed safely."""

import make
from rootlet import webpki
from rootlet.rules import RULES, explain, general_names, printable_name
from run import Skip

NAMES = [line.split("|")[0] for line in (RULES + webpki.RULES).split("\n") if line]


def _source(module):
    here = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
    try:
        with open(here + "/../../lib/rootlet/" + module) as file:
            return file.read()
    except OSError:
        raise Skip("the library is compiled")  # noqa: B904 - MicroPython has no `from None`


def test_every_rule_has_words():
    for rule in NAMES:
        for depth in (None, 0, 1):
            found = explain(rule, depth, make.name(cn="x"), None)
            assert found[0] == rule and found[1] == depth
            assert len(found[2].split(" ")) > 3, rule
            assert "|" not in found[2] and "\n" not in found[2]


def test_a_bare_number_is_a_section_of_rfc_5280():
    for rule, section in (
        ("version", "RFC 5280, 4.1.2.1"),
        ("serial", "RFC 5280, 4.1.2.2"),
        ("key-weak", "BR 6.1.5"),
        ("san-missing", "RFC 9525, 2"),
        ("internal", ""),
    ):
        assert explain(rule, 0)[3] == section


def test_every_rule_in_the_code_is_in_the_table_and_the_other_way_round():
    used = set()
    for module in ("policy.py", "constraints.py", "webpki.py", "pins.py"):
        for part in _source(module).split('return "')[1:]:
            used.add(part.split('"')[0])
        for part in _source(module).split('_rule = "')[1:]:
            used.add(part.split('"')[0])
    used.add("internal")
    used = {rule for rule in used if rule.replace("-", "").isalpha()}
    assert used == set(NAMES), (used - set(NAMES), set(NAMES) - used)


def test_the_readable_part_of_a_name():
    org = ("2.5.4.10", "Org")
    assert printable_name(make.name(org, cn="Common")) == "Common"
    assert printable_name(make.name(org)) == "Org"
    assert printable_name(make.name()) == "?"
    assert printable_name(make.name(cn="a\x1b]0;b\x07\u00fc")) == "a?]0;b???"
    assert len(printable_name(make.name(cn="a" * 300))) == 64
    assert printable_name(make.name(("2.5.4.10", "x" * 300), cn="y")[:256]) == "?"
    assert printable_name(make.name(org, ("2.5.4.11", "y" * 300))[:256]) == "Org"


def test_names_of_a_certificate_that_was_cut_off():
    data = b"".join((make.dns("a.example"), make.ip((192, 0, 2, 1)), make.ip(bytes(16)), make.dns("b.example")))
    assert general_names(data) == ["a.example", "192.0.2.1", "::", "b.example"]
    assert general_names(data[:-1]) == ["a.example", "192.0.2.1", "::", "..."]
    assert general_names(make.dns("x") * 9) == ["x"] * 6 + ["..."]
    assert general_names(make.tlv(0x86, b"https://x")) == ["none of a host"]
    assert general_names(make.ip(b"123")) == ["?"]


def test_no_bytes_make_them_raise():
    name = make.name(("2.5.4.10", "Org"), cn="Common")
    for i in range(len(name)):
        printable_name(name[:i])
        general_names(name[i:])
        for value in (0x00, 0x80, 0x82, 0xFF):
            broken = bytearray(name)
            broken[i] = value
            printable_name(bytes(broken))
            general_names(bytes(broken))
