"""Writes generated tables into a document, between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers, aligned to the right."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def write_block(document: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME: begin … -->` and `<!-- NAME: end -->`.

    Raises ValueError if the document has not exactly one such pair.
    """
    content = document.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin", f"<!-- {name}: end -->"
    if content.count(begin) != 1 or content.count(end) != 1 or content.index(begin) > content.index(end):
        raise ValueError(f"{document} needs one pair of markers for {name}")
    after_begin = content.index("-->", content.index(begin)) + len("-->")
    content = content[:after_begin] + "\n" + text.strip() + "\n" + content[content.index(end) :]
    document.write_text(content, encoding="utf-8")
