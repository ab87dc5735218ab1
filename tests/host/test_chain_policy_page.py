"""docs/chain-policy.md lists exactly the rules that the device has, in the device's words."""

from __future__ import annotations

from pathlib import Path

from rootlet_host.explain.tables import device_rules

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "chain-policy.md"


def test_every_rule_is_on_the_page_and_no_other() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(f"| `{rule}` | {text} | {section} |" for rule, text, section in device_rules())


def test_rules_of_the_policy_webpki_are_in_its_section() -> None:
    always, webpki = PAGE.read_text(encoding="utf-8").split("## Only with")
    source = (REPOSITORY / "lib/rootlet/webpki.py").read_text(encoding="utf-8")
    for row in webpki.splitlines():
        if row.startswith("| `"):
            assert f'"{row.split("`")[1]}"' in source and f"\n{row.split('`')[1]}|" in source
    assert "| `name-mismatch` |" in always
