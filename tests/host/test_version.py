"""The version stands in one place, and everything that states it says the same."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import rootlet_host
from packaging.version import Version
from rootlet_host import paths
from rootlet_host.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_host_package_reads_the_version_of_the_device_library() -> None:
    tree = ast.parse((REPOSITORY / "lib/rootlet/__init__.py").read_text())
    (version,) = (
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "__version__"
        and isinstance(node.value, ast.Constant)
    )
    assert rootlet_host.__version__ == version
    assert str(Version(str(version))) == version  # as packaging writes it


def test_the_wheel_is_built_with_that_version() -> None:
    settings = (REPOSITORY / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in settings
    assert re.search(r'\[tool\.hatch\.version\]\npath = "lib/rootlet/__init__\.py"', settings)


def test_lists_for_mip_state_it() -> None:
    lists = [REPOSITORY / "lib/package.json", *(REPOSITORY / "lib").glob("rootlet-*.json")]
    assert len(lists) > 5
    assert {json.loads(path.read_text())["version"] for path in lists} == {rootlet_host.__version__}


def test_no_other_source_has_a_version_of_its_own() -> None:
    sources = [*(REPOSITORY / "lib").rglob("*.py"), *(REPOSITORY / "tools/rootlet_host").rglob("*.py")]
    having = [path for path in sources if re.search(r"^(__version__|VERSION) = [\"']", path.read_text(), re.MULTILINE)]
    assert having == [REPOSITORY / "lib/rootlet/__init__.py"]


def test_the_changelog_has_a_heading_for_it() -> None:
    headings = re.findall(r"^## (.+)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [Version(found[0]) for line in headings if (found := re.match(r"\[?(\d[^\] ]*)", line))]
    version = Version(rootlet_host.__version__)
    assert version in released or headings[0].strip("[]") == "Unreleased"
    assert released == sorted(released, reverse=True)
    assert not released or released[0] <= version, "the changelog is ahead of the version"


def test_a_library_without_a_version_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rootlet").mkdir()
    (tmp_path / "rootlet" / "__init__.py").write_text("")
    monkeypatch.setattr(paths, "device_library", lambda: tmp_path)
    with pytest.raises(UsageError, match="damaged"):
        paths.device_version()
