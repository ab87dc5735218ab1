"""What `make` installs can be installed on every version of Python that rootlet takes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from support.board import REPOSITORY

CONSTRAINTS = [
    Requirement(line) for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if not line.startswith("#")
]


def oldest_python() -> str:
    text = (REPOSITORY / "pyproject.toml").read_text()
    return text.partition('requires-python = ">=')[2].partition('"')[0]


def holds_for(constraint: Requirement, python: str) -> bool:
    return constraint.marker is None or constraint.marker.evaluate({"python_version": python})


def needed_python(name: str) -> SpecifierSet:
    """Of the version that is installed here."""
    try:
        return SpecifierSet(metadata(name)["Requires-Python"] or "")
    except PackageNotFoundError:  # only wanted by another Python, or for fuzzing
        return SpecifierSet()


def test_every_version_that_holds_for_the_oldest_python_runs_on_it() -> None:
    oldest = oldest_python()
    assert oldest == "3.10"
    too_new = [
        str(constraint)
        for constraint in CONSTRAINTS
        if holds_for(constraint, oldest)
        and holds_for(constraint, "3.11")
        and oldest not in needed_python(constraint.name)
    ]
    assert too_new == []


def test_no_package_has_two_versions_for_one_python() -> None:
    for python in ("3.10", "3.11", "3.12", "3.13", "3.14"):
        names = [constraint.name for constraint in CONSTRAINTS if holds_for(constraint, python)]
        assert sorted(set(names)) == sorted(names)
