"""Every relative link of every page leads to a file, and to a heading where it names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .markdown import REPOSITORY, pages

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]: *(\S+)", re.MULTILINE)
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Where the links of a page lead, those with a scheme left out."""
    # A link's text may be code, so of code only what looks like a link is dropped.
    text = CODE.sub(lambda code: "" if "](" in code[0] else code[0].replace("[", "").replace("]", ""), text)
    found = [one or other for one, other in LINK.findall(text)]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(
        r"^#+ (.+?) *$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faults(page: str, text: str) -> list[str]:
    found = []
    for target in links(text):
        path, _, fragment = target.partition("#")
        file = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        if not file.exists() or not file.resolve().is_relative_to(REPOSITORY):
            found.append(f"{page}: there is no {target}")
        elif fragment and fragment not in anchors(text if not path else file.read_text(encoding="utf-8")):
            found.append(f"{page}: no heading is called as {target} says")
    return found


@pytest.mark.parametrize("page", [*pages(), "CHANGELOG.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    assert faults(page, Path(REPOSITORY, page).read_text(encoding="utf-8")) == []


def test_links_that_lead_nowhere_are_found() -> None:
    text = "# One `x` two\n[a](README.md) [b](#one-x-two) [c](nowhere.md) ![d](nothing.svg) [e](#two)\n`[f](code.md)`\n"
    text += "[`g`](gone.py) [h](README.md#no-such-heading) [i](https://example.org/)\n"
    text += "```sh\n[j](block.md)\n```\n[k]: away.md\n"
    assert [fault.rpartition("README.md: ")[2] for fault in faults("README.md", text)] == [
        "there is no nowhere.md",
        "there is no nothing.svg",
        "no heading is called as #two says",
        "there is no gone.py",
        "no heading is called as README.md#no-such-heading says",
        "there is no away.md",
    ]


def test_the_readme_lists_every_page_once() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("## Documentation")[1]
    listed = [target for target in links(text) if target.startswith("docs/")]
    assert sorted(listed) == sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))
