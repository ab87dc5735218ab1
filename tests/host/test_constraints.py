"""What `make` installs can be installed on every version of Python that rootlet takes."""

from __future__ import annotations

from importlib.metadata import Distribution, distributions

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from support.board import REPOSITORY

OLDEST_PYTHON = "3.10.0"


@pytest.fixture(scope="module")
def pinned() -> list[tuple[Requirement, Distribution]]:
    """What is pinned, and what of it is installed here. The rest is for other Pythons, or for fuzzing."""
    installed = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    names = [(requirement, canonicalize_name(requirement.name)) for requirement in requirements]
    return [(requirement, installed[name]) for requirement, name in names if name in installed]


def test_the_oldest_python_is_the_one_that_the_package_names() -> None:
    needed = (REPOSITORY / "pyproject.toml").read_text().partition('requires-python = "')[2].partition('"')[0]
    assert needed == ">=" + OLDEST_PYTHON.removesuffix(".0")


def test_what_is_pinned_is_installed(pinned: list[tuple[Requirement, Distribution]]) -> None:
    assert len(pinned) > 50
    assert [
        f"{found.name} {found.version}" for package, found in pinned if found.version not in package.specifier
    ] == []


def test_what_is_pinned_runs_on_the_oldest_python(pinned: list[tuple[Requirement, Distribution]]) -> None:
    needed = {found.name: found.metadata.get("Requires-Python", "") for _, found in pinned}
    assert {name: python for name, python in needed.items() if OLDEST_PYTHON not in SpecifierSet(python)} == {}
