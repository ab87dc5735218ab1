#!/usr/bin/env python3
"""Packages of the device library for mip: lists beside the code, an index for a server, and what a package must hold.

    python tools/dev/packages.py write            lib/package.json, lib/rootlet-<package>.json and the table in docs
    python tools/dev/packages.py check            exit code 1 if one of these is out of date or lacks a module
    python tools/dev/packages.py index FOLDER     a folder that any web server can offer as `mip install --index`

What belongs to which package stands in lib/packages.toml and nowhere else.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring.report import write_block
from rootlet_host import __version__
from rootlet_host.bytecode import compile_module
from rootlet_host.errors import HostError
from rootlet_host.files import write_atomic

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "lib"
PAGE = REPOSITORY / "docs" / "packages.md"
CORE = "core"
_HASH_DIGITS = 8  # of a file's SHA-256, as micropython.org's own index has them


@dataclass(frozen=True)
class Package:
    """One installable part. `modules` are named below `rootlet`; its `__init__` is `__init__`."""

    name: str
    summary: str
    modules: tuple[str, ...]
    requires: tuple[str, ...]
    optional: Mapping[str, str]

    @property
    def installed_as(self) -> str:
        """The name that mip is given."""
        return "rootlet" if self.name == CORE else f"rootlet-{self.name}"

    @property
    def list_name(self) -> str:
        """The file beside the code that lists it."""
        return "package.json" if self.name == CORE else f"{self.installed_as}.json"


@dataclass(frozen=True)
class Import:
    """One import of a module of rootlet by another. `lazy`: inside a function."""

    importer: str
    imported: str
    line: int
    lazy: bool


class Packages(Mapping[str, Package]):
    """All packages, by name."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._all: dict[str, Package] = {}
        for name, entry in data.items():
            requires = tuple(entry.get("requires", ())) if name == CORE else (CORE, *entry.get("requires", ()))
            self._all[name] = Package(
                name, entry["summary"], tuple(entry["modules"]), requires, dict(entry.get("optional", {}))
            )

    @classmethod
    def load(cls, library: Path = LIBRARY) -> Packages:
        """The packages that `packages.toml` names. Raises HostError."""
        try:
            return cls(tomllib.loads((library / "packages.toml").read_text("utf-8")))
        except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
            raise HostError(f"{library / 'packages.toml'} is unusable: {error!r}") from error

    def __getitem__(self, name: str) -> Package:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def closure(self, name: str) -> list[Package]:
        """The package and all that it requires, what is required first."""
        found: dict[str, Package] = {}

        def add(each: str) -> None:
            for required in self[each].requires:
                add(required)
            found.setdefault(each, self[each])

        add(name)
        return list(found.values())

    def direct(self, name: str) -> list[Package]:
        """What the package requires and what none of these requires itself."""
        required = self[name].requires
        implied = {each.name for one in required for each in self.closure(one)[:-1]}
        return [self[each] for each in required if each not in implied]

    def modules(self, name: str) -> set[str]:
        """Every module that installing the package brings."""
        return {module for package in self.closure(name) for module in package.modules}


def module_files(library: Path = LIBRARY) -> dict[str, Path]:
    """Every module of the library as it is, with its file."""
    found = {}
    root = library / "rootlet"
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"
        found[name] = path
    return found


def imports(name: str, path: Path, known: Iterable[str]) -> list[Import]:
    """What a module imports of the modules `known`, wherever it stands in the code."""
    known = set(known)
    package = name.split(".") if path.name == "__init__.py" and name != "__init__" else name.split(".")[:-1]
    found: list[Import] = []

    def names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "rootlet":
                    yield alias.name.partition(".")[2] or "__init__"
            return
        if node.level:
            base = package[: len(package) - node.level + 1]
        elif node.module and node.module.split(".")[0] == "rootlet":
            base = []
        else:
            return
        inside = (node.module or "").split(".")[0 if node.level else 1 :]
        module = ".".join([*base, *filter(None, inside)])
        for alias in node.names:
            whole = f"{module}.{alias.name}".strip(".")
            yield whole if whole in known else module or "__init__"

    def walk(node: ast.AST, lazy: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                found.extend(Import(name, imported, child.lineno, lazy) for imported in names(child))
            walk(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    walk(ast.parse(path.read_text("utf-8")), False)
    return found


def problems(packages: Packages, library: Path = LIBRARY) -> list[str]:
    """What is wrong with the packages, a line for each: a module in none or two, an import that leads out of one."""
    lines = []
    files = module_files(library)
    homes: dict[str, list[str]] = {}
    for package in packages.values():
        lines += [
            f"{package.name} requires {name}, which does not exist" for name in package.requires if name not in packages
        ]
        for module in package.modules:
            homes.setdefault(module, []).append(package.name)
    if lines:
        return lines
    for module in sorted({*files, *homes}):
        where = homes.get(module, [])
        if module not in files:
            lines.append(f"{where[0]} lists {module}, which does not exist")
        elif len(where) != 1:
            lines.append(f"{module} belongs to {' and '.join(where) or 'no package'}: lib/packages.toml must name one")
    if lines:
        return lines
    for package in packages.values():
        there = packages.modules(package.name)
        unused = dict(package.optional)
        for module in package.modules:
            for each in imports(module, files[module], files):
                if each.imported in there:
                    continue
                if each.lazy and each.imported in package.optional:
                    unused.pop(each.imported, None)
                    continue
                how = "imports" if each.lazy else "cannot be imported without"
                lines.append(f"{package.name}: {module}, line {each.line}, {how} {each.imported}, which is not in it")
        lines += [f"{package.name} calls {name} optional, which it never imports" for name in unused]
    return lines


def listing(packages: Packages, name: str, library: Path = LIBRARY) -> bytes:
    """The list for mip of one package and all that it requires, with places relative to the list.

    What is required is listed too, not named: mip takes relative places for files, but not for further packages.
    """
    files = module_files(library)
    urls = []
    for module in sorted(packages.modules(name)):
        path = files[module].relative_to(library).as_posix()
        urls.append([path, path])
    lines = ",\n  ".join(json.dumps(url) for url in urls)
    return f'{{\n "version": "{__version__}",\n "urls": [\n  {lines}\n ]\n}}\n'.encode()


def write_lists(packages: Packages, library: Path = LIBRARY) -> None:
    """Write every package's list; remove those of packages that are no more."""
    wanted = {package.list_name: listing(packages, package.name, library) for package in packages.values()}
    for name, content in wanted.items():
        write_atomic(library / name, content)
    for path in library.glob("rootlet-*.json"):
        if path.name not in wanted:
            path.unlink()


def stale_lists(packages: Packages, library: Path = LIBRARY) -> list[str]:
    """Names of lists that are not what `write_lists` would write."""
    wanted = {package.list_name: listing(packages, package.name, library) for package in packages.values()}
    there = {path.name: path.read_bytes() for path in (*library.glob("package.json"), *library.glob("rootlet-*.json"))}
    return sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))


def compiled(files: Mapping[str, Path], library: Path = LIBRARY) -> dict[str, bytes]:
    """Every module as .mpy, as `rootlet deploy` puts it on a board. Raises HostError."""
    return {name: compile_module(path, path.relative_to(library).as_posix()) for name, path in files.items()}


def build_index(packages: Packages, folder: Path, library: Path = LIBRARY) -> None:
    """Write an index in the form of micropython.org/pi/v2: sources, and .mpy for boards that load them.

    The folder appears whole or not at all; one that is there must be an index, and is replaced.
    """
    if folder.exists() and not (folder / "package").is_dir() and any(folder.iterdir()):
        raise HostError(f"{folder} is not an index", remedy="name a folder that is empty or not there", exit_code=2)
    files = module_files(library)
    by_module = compiled(files, library)
    version_of_mpy = str(next(iter(by_module.values()))[1])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        new = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent))) / "index"
        for variant, suffix in (("py", ".py"), (version_of_mpy, ".mpy")):
            for package in packages.values():
                hashes = []
                for module in sorted(package.modules):
                    data = files[module].read_bytes() if suffix == ".py" else by_module[module]
                    digest = hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]
                    stored = new / "file" / digest[:2] / digest
                    stored.parent.mkdir(parents=True, exist_ok=True)
                    stored.write_bytes(data)
                    hashes.append([files[module].relative_to(library).with_suffix(suffix).as_posix(), digest])
                deps = [[each.installed_as, __version__] for each in packages.direct(package.name)]
                content = {"v": 1, "version": __version__, "hashes": hashes, "deps": deps}
                for version in (__version__, "latest"):
                    path = new / "package" / variant / package.installed_as / f"{version}.json"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps(content) + "\n", "utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        new.replace(folder)


def table(packages: Packages) -> str:
    """The packages as a Markdown table: what each brings, and what comes along."""
    lines = ["| package | what it brings | modules | comes with |", "|---|---|---|---|"]
    for package in packages.values():
        modules = ", ".join(f"`{name}`" for name in package.modules if name != "__init__")
        requires = ", ".join(f"`{each.installed_as}`" for each in packages.closure(package.name)[:-1])
        lines.append(f"| `{package.installed_as}` | {package.summary} | {modules} | {requires} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="packages.py", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write", help="write the lists for mip and the table in docs/packages.md")
    commands.add_parser("check", help="exit with 1 if a list is out of date or a package lacks a module")
    commands.add_parser("index", help="write an index for a web server").add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        packages = Packages.load()
        faults = problems(packages)
        if not faults and options.command == "check":
            faults = [f"{name} is out of date: run tools/dev/packages.py write" for name in stale_lists(packages)]
        if faults:
            print(*(f"packages: {line}" for line in faults), sep="\n", file=sys.stderr)
            return 1
        if options.command == "write":
            write_lists(packages)
            write_block(PAGE, "packages", table(packages))
        elif options.command == "index":
            build_index(packages, options.folder)
            print(options.folder)
    except HostError as error:
        print(f"packages: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
