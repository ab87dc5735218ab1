#!/usr/bin/env python3
"""Install Debian's builds of the Unix MicroPython port, to test against other versions.

The tests run on the MicroPython that PyPI offers.  Debian packages older versions, built against the system's Mbed TLS
(so they speak TLS 1.3), and a program that works on both is more likely to work on a board.  Those packages do not
start on another Debian release's C library; this script therefore unpacks each one beside all the packages it depends
on, without installing anything, and writes a launcher that starts it with its own dynamic loader:

    build/micropython/1.25.0/micropython          the launcher: call it like any `micropython`
    build/micropython/1.25.0/manifest.json        where it came from: packages, versions, SHA-256, signature
    build/micropython/1.25.0/root/                the unpacked packages

A folder is named after the version that the binary itself reports, with `-<architecture>` behind it for a foreign
architecture (`--arch i386` gives a 32-bit MicroPython, with small integers and pointers of a board's size).

Every byte is checked, from Debian's archive keys down to each package: see debian_archive.py.

Only the Python standard library and `dpkg-deb` are needed.  A build appears complete or not at all; interrupted
downloads are continued; a suite that is installed already is left alone, without network, unless `--refresh` is given.

Exit codes: 0 done, 1 the operation failed, 2 wrong usage or a missing tool.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from debian_archive import ARCHIVE_KEYRING, Downloader, FetchError, Package, find_tool, note, read_index, read_release

DEFAULT_MIRROR: Final = "https://deb.debian.org/debian"
DEFAULT_SUITES: Final = ("trixie", "forky")
DEFAULT_FOLDER: Final = Path(__file__).resolve().parents[2] / "build" / "micropython"
PACKAGE: Final = "micropython"

RUN_TIMEOUT_S: Final = 30

# Debian's name for each machine that platform.machine() may report.
ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "i386",
    "armv7l": "armhf",
    "ppc64le": "ppc64el",
    "riscv64": "riscv64",
    "s390x": "s390x",
}

SUITE_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
VERSION_NAME: Final = re.compile(r"[0-9]+(\.[0-9]+)*(-[a-z0-9.]+)?")

MANIFEST: Final = "manifest.json"
LAUNCHER: Final = "micropython"

LAUNCHER_TEXT: Final = """\
#!/bin/sh
# Starts {package} {version} with the C library it was built for.
here=$(dirname -- "$(readlink -f -- "$0")")
libraries={libraries}
exec "$here"/{loader} --argv0 "$0" --library-path "$libraries" "$here"/{binary} "$@"
"""


# --- The installed builds ---


@dataclass(frozen=True)
class Build:
    """One installed build, as its manifest describes it.  `packages` holds name, version and sha256 of each package."""

    version: str
    arch: str
    suites: tuple[str, ...]
    implementation: str
    mirror: str
    signature: str
    packages: tuple[dict[str, str], ...]
    path: Path

    @property
    def launcher(self) -> Path:
        """The program to start."""
        return self.path / LAUNCHER

    def to_json(self) -> dict[str, Any]:
        """Return the build as JSON data, paths as strings."""
        data = asdict(self)
        data["path"] = str(self.path)
        data["launcher"] = str(self.launcher)
        return data


def write_manifest(build: Build, folder: Path) -> None:
    """Write the build's manifest into a folder, whole or not at all."""
    data = build.to_json()
    del data["path"], data["launcher"]
    temporary = folder / f".{MANIFEST}.new"
    temporary.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
    temporary.replace(folder / MANIFEST)


def installed_builds(folder: Path) -> list[Build]:
    """Return the builds in a folder, sorted by path.  A folder without a readable manifest is not a build."""
    builds = []
    for manifest in sorted(folder.glob(f"[!.]*/{MANIFEST}")):
        try:
            data = json.loads(manifest.read_text("utf-8"))
            data |= {"suites": tuple(data["suites"]), "packages": tuple(data["packages"]), "path": manifest.parent}
            build = Build(**data)
        except (KeyError, TypeError, ValueError):
            continue
        if build.launcher.is_file():
            builds.append(build)
    return builds


def elf_interpreter(binary: Path) -> str:
    """Return the dynamic loader that an ELF file names in its PT_INTERP header, as an absolute path.

    Raises FetchError.  Source: System V ABI, "Program Header".
    """
    data = binary.read_bytes()
    if data[:4] != b"\x7fELF":
        raise FetchError(f"{binary.name} is not an ELF file")
    wide = data[4] == 2
    order = "<" if data[5] == 1 else ">"
    try:
        (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)
        entry_bytes, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
        for header in range(table, table + entry_bytes * count, entry_bytes):
            (kind,) = struct.unpack_from(order + "I", data, header)
            if kind == 3:
                (offset,) = struct.unpack_from(order + ("Q" if wide else "I"), data, header + (8 if wide else 4))
                (length,) = struct.unpack_from(order + ("Q" if wide else "I"), data, header + (32 if wide else 16))
                return bytes(data[offset : offset + length]).rstrip(b"\0").decode("ascii")
    except (struct.error, UnicodeDecodeError) as error:
        raise FetchError(f"{binary.name} is not a readable ELF file: {error}") from error
    raise FetchError(f"{binary.name} names no dynamic loader")


def find_in_root(root: Path, path: str) -> Path:
    """Return the file that a system path means in an unpacked tree, with or without merged /usr.  Raises FetchError."""
    for candidate in (root / path.lstrip("/"), root / "usr" / path.lstrip("/")):
        # A link to outside the tree would start this machine's loader.
        if candidate.is_file() and candidate.resolve().is_relative_to(root.resolve()):
            return candidate.resolve()
    raise FetchError(f"the packages hold no {path}")


def write_launcher(folder: Path, root: Path, package: Package) -> None:
    """Write the script that starts the unpacked binary with its own loader and libraries.

    It finds them from its own place, so the folder can be moved.  Raises FetchError when a library would come from
    this machine instead of from the packages.
    """
    binary = find_in_root(root, f"/usr/bin/{PACKAGE}")
    loader = find_in_root(root, elf_interpreter(binary))
    libraries = sorted({path.parent.resolve() for path in root.rglob("lib*.so.*")})
    here = folder.resolve()

    listing = run([str(loader), "--library-path", ":".join(map(str, libraries)), "--list", str(binary)])
    for name, path in re.findall(r"^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", listing, re.MULTILINE):
        if not Path(path).resolve().is_relative_to(here):
            raise FetchError(f"{PACKAGE} needs {name}, which the packages do not hold ({path})")

    def quoted(path: Path) -> str:
        return shlex.quote(str(path.relative_to(here)))

    launcher = folder / LAUNCHER
    launcher.write_text(
        LAUNCHER_TEXT.format(
            package=PACKAGE,
            version=package.version,
            loader=quoted(loader),
            binary=quoted(binary),
            libraries=":".join(f'"$here"/{quoted(path)}' for path in libraries),
        ),
        "utf-8",
    )
    launcher.chmod(0o755)


def run(command: Sequence[str]) -> str:
    """Run a program and return what it prints.  Raises FetchError when it cannot run or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=True, timeout=RUN_TIMEOUT_S
        )
    except subprocess.CalledProcessError as error:
        raise FetchError(f"{Path(command[0]).name} failed: {(error.stderr or error.stdout).strip()[-300:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"{Path(command[0]).name} does not run: {error}") from error
    return done.stdout


def ask_version(launcher: Path) -> tuple[str, str]:
    """Start a build and return its version (`1.25.0`, `1.29.0-preview`) and its whole `sys.implementation`."""
    program = "import sys; print(tuple(sys.implementation[1])); print(sys.implementation)"
    first, _, implementation = run([str(launcher), "-c", program]).partition("\n")
    parts = [part.strip("'\" ") for part in first.strip("()").split(",")]
    version = ".".join(parts[:3]) + "".join(f"-{part}" for part in parts[3:] if part)
    if not VERSION_NAME.fullmatch(version):
        raise FetchError(f"the unpacked {PACKAGE} reports an odd version: {first!r}")
    return version, implementation.strip()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs of this script out of a folder, and hide the folder from git."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", "utf-8")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob(".new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def install(suite: str, arch: str, folder: Path, downloader: Downloader, keyring: Path) -> Build:
    """Install a suite's MicroPython into a folder, replacing an older copy of it, and return it.  Raises FetchError.

    The build is made in a hidden folder and started there; only then does it get its name.
    """
    release, signature = read_release(downloader, suite, keyring)
    packages = read_index(downloader, suite, arch, release).closure(PACKAGE)
    described = tuple({"name": each.name, "version": each.version, "sha256": each.sha256} for each in packages)
    for build in installed_builds(folder):
        if build.arch == arch and matches(build, described, suite):
            return claim(build, suite, folder)

    dpkg_deb = find_tool("dpkg-deb")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as work:
        new = Path(work, "build")
        root = new / "root"
        root.mkdir(parents=True)
        for package in packages:
            note(f"{suite}: {package.name} {package.version}")
            deb = downloader.fetch(package.path, package.sha256, package.size_bytes)
            run([dpkg_deb, "--extract", str(deb), str(root)])
        write_launcher(new, root, packages[0])
        version, implementation = ask_version(new / LAUNCHER)
        name = version if arch == native_arch() else f"{version}-{arch}"
        build = Build(
            version, arch, (suite,), implementation, downloader.mirror, signature, described, path=folder / name
        )
        write_manifest(build, new)
        put_in_place(new, build.path, Path(work, "old"))
    return claim(build, suite, folder)


def matches(build: Build, packages: tuple[dict[str, str], ...], suite: str) -> bool:
    """Tell whether an installed build serves for these packages of a suite.

    For the suite it came from every package must be the same.  For another suite the same MicroPython package is
    enough: two suites often differ in some library only, and would take each other's folder in turn.
    """
    return build.packages == packages if suite in build.suites else build.packages[:1] == packages[:1]


def claim(build: Build, suite: str, folder: Path) -> Build:
    """Record that a build is the one of a suite, and that no other build of that architecture is; return it."""
    claimed = build
    for each in installed_builds(folder):
        if each.path == build.path:
            claimed = replace(each, suites=tuple(sorted({*each.suites, suite})))
            changed = claimed
        elif each.arch == build.arch and suite in each.suites:
            # The suite has moved on; the older build stays for whoever tests against that version.
            changed = replace(each, suites=tuple(name for name in each.suites if name != suite))
        else:
            continue
        if changed != each:
            write_manifest(changed, changed.path)
    return claimed


def put_in_place(new: Path, target: Path, aside: Path) -> None:
    """Give a finished folder its name; what had that name goes aside, and back again if that fails."""
    replaced = target.exists()
    if replaced:
        target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        if replaced:
            aside.rename(target)
        raise


def native_arch() -> str:
    """Return Debian's name for this machine's architecture.  Raises FetchError (exit code 2) when it has none."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise FetchError(f"no Debian architecture is known for {machine}", "name one with --arch", exit_code=2)
    return ARCHITECTURES[machine]


# --- Command line ---


def print_builds(builds: Iterable[Build], as_json: bool) -> None:
    """Print builds to stdout: a JSON list, or one line each."""
    # Two suites may share a build.
    builds = list({build.path: build for build in builds}.values())
    if as_json:
        print(json.dumps([build.to_json() for build in builds], indent=2))
        return
    for build in builds:
        signed = build.signature.partition(":")[0]
        print(f"{build.path.name}\t{', '.join(build.suites)} {build.arch}\tsignature {signed}\t{build.launcher}")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="fetch_micropython.py", description=summary)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"Debian suites (default: {' '.join(DEFAULT_SUITES)}); sid works too"
    )
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where to install (default: %(default)s)")
    parser.add_argument("--arch", help="Debian architecture, such as i386 (default: this machine's)")
    parser.add_argument("--mirror", default=DEFAULT_MIRROR, help="Debian mirror (default: %(default)s)")
    parser.add_argument("--refresh", action="store_true", help="look for newer packages of suites that are installed")
    parser.add_argument("--list", action="store_true", help="list the installed builds and stop; needs no network")
    parser.add_argument("--json", action="store_true", help="print the builds as JSON")
    parser.add_argument("--debug", action="store_true", help="show a traceback on failure")
    return parser


def fetch(options: argparse.Namespace) -> list[Build]:
    """Do what the command line asks for; return the builds of the named suites, in their order."""
    if options.list:
        return installed_builds(options.folder)
    arch = options.arch or native_arch()
    suites: list[str] = options.suites or list(DEFAULT_SUITES)
    for name in (*suites, arch):
        if not SUITE_NAME.fullmatch(name):
            raise FetchError(f"{name!r} is no suite or architecture", "use names such as trixie, i386", exit_code=2)
    downloader = Downloader(options.mirror, options.folder / ".cache")
    builds = []
    with locked(options.folder):
        for suite in suites:
            present = [each for each in installed_builds(options.folder) if each.arch == arch and suite in each.suites]
            if present and not options.refresh:
                builds.append(present[-1])
                continue
            builds.append(install(suite, arch, options.folder, downloader, ARCHIVE_KEYRING))
    return builds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        print_builds(fetch(options), options.json)
    except (FetchError, OSError) as error:
        if options.debug:
            traceback.print_exc()
        print(f"fetch_micropython.py: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, FetchError) else 1
    except KeyboardInterrupt:
        print("fetch_micropython.py: interrupted; run again to continue", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
