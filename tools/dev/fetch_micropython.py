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

Every byte is checked: the suite's `InRelease` against Debian's archive keys (`gpgv`, package debian-archive-keyring;
where either is missing the script says so and goes on with what HTTPS gives), the package index against `InRelease`,
each package against the index.  An index past its Valid-Until date is used with a warning: old packages are the point.
See https://wiki.debian.org/DebianRepository/Format for these files.

Only the Python standard library and `dpkg-deb` are needed.  A build appears complete or not at all; interrupted
downloads are continued; a suite that is installed already is left alone, without network, unless `--refresh` is given.

Exit codes: 0 done, 1 the operation failed, 2 wrong usage or a missing tool.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import lzma
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
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

DEFAULT_MIRROR: Final = "https://deb.debian.org/debian"
DEFAULT_SUITES: Final = ("trixie", "forky")
DEFAULT_FOLDER: Final = Path(__file__).resolve().parents[2] / "build" / "micropython"
ARCHIVE_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGE: Final = "micropython"

NETWORK_TIMEOUT_S: Final = 60
RUN_TIMEOUT_S: Final = 30
CHUNK_BYTES: Final = 1 << 16
RELEASE_MAX_BYTES: Final = 4 << 20

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


class FetchError(Exception):
    """A failure to tell the user about in one line: its cause, and what to do about it."""

    def __init__(self, message: str, remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


def note(text: str) -> None:
    """Print one line of progress or warning to stderr; stdout is kept for results."""
    print(text, file=sys.stderr)


# --- The archive's indexes ---


@dataclass(frozen=True)
class IndexEntry:
    """One file as `InRelease` lists it: its SHA-256 in hexadecimal and its size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Release:
    """The part of a suite's `InRelease` that is needed: names, dates, and the listed files by path."""

    names: frozenset[str]
    valid_until: datetime | None
    files: dict[str, IndexEntry]


@dataclass(frozen=True)
class Package:
    """One binary package of a suite, from the `Packages` index."""

    name: str
    version: str
    path: str
    sha256: str
    size_bytes: int
    # One inner tuple for each dependency: the names of its alternatives, in order of preference.
    depends: tuple[tuple[str, ...], ...]


def parse_stanza(text: str) -> dict[str, str]:
    """Split one stanza of a Debian control file into its fields; a continued field keeps its line breaks.

    Raises ValueError on a line that is neither a field nor the continuation of one.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t"):
            if not name:
                raise ValueError(f"continuation line without a field: {line!r}")
            fields[name] += "\n" + line.strip()
        elif line:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"not a field: {line!r}")
            fields[name] = value.strip()
    return fields


def parse_depends(field: str) -> tuple[tuple[str, ...], ...]:
    """Return the package names of a `Depends` field, without versions: `a (>= 1) | b, c` is `(("a", "b"), ("c",))`."""
    dependencies = []
    for dependency in filter(None, (part.strip() for part in field.split(","))):
        alternatives = (alternative.strip() for alternative in dependency.split("|"))
        dependencies.append(tuple(re.split(r"[\s:(\[<]", name, maxsplit=1)[0] for name in alternatives if name))
    return tuple(dependencies)


def parse_release(text: str) -> Release:
    """Parse the text that an `InRelease` file signs.  Raises FetchError when it lists no SHA-256."""
    try:
        fields = parse_stanza(text)
        files = {}
        for line in filter(None, fields["SHA256"].splitlines()):
            sha256, size, path = line.split()
            files[path] = IndexEntry(sha256.lower(), int(size))
        until = fields.get("Valid-Until")
        return Release(
            names=frozenset(fields[key] for key in ("Suite", "Codename") if key in fields),
            valid_until=parsedate_to_datetime(until) if until else None,
            files=files,
        )
    except (KeyError, ValueError) as error:
        raise FetchError(f"the suite's InRelease cannot be read: {error}", "try another --mirror") from error


class PackageIndex:
    """The packages of one suite and architecture, from the text of its `Packages` file."""

    def __init__(self, text: str) -> None:
        self._stanzas: dict[str, list[str]] = {}
        for stanza in text.split("\n\n"):
            stanza = stanza.strip("\n")
            # Debian writes Package first; the search copes with any order.
            match = re.search(r"^Package:[ \t]*(\S+)", stanza, re.MULTILINE)
            if match:
                self._stanzas.setdefault(match[1], []).append(stanza)

    def __contains__(self, name: str) -> bool:
        return name in self._stanzas

    def get(self, name: str) -> Package:
        """Return the package of that name, the newest if there are several.  Raises FetchError when there is none."""
        if name not in self._stanzas:
            raise FetchError(f"the suite has no package {name} for this architecture", "try another suite or --arch")
        packages = [self._parse(name, stanza) for stanza in self._stanzas[name]]
        newest = packages[0]
        for package in packages[1:]:
            if is_newer(package.version, newest.version):
                newest = package
        return newest

    def closure(self, name: str) -> list[Package]:
        """Return the package and everything it depends on, directly or not; the package itself comes first."""
        found: dict[str, Package] = {}
        wanted = [name]
        while wanted:
            current = wanted.pop(0)
            if current in found:
                continue
            package = found[current] = self.get(current)
            for alternatives in package.depends:
                choice = next((each for each in alternatives if each in self), None)
                if choice is None:
                    raise FetchError(f"{current} depends on {' | '.join(alternatives)}, which the suite does not have")
                wanted.append(choice)
        return list(found.values())

    @staticmethod
    def _parse(name: str, stanza: str) -> Package:
        try:
            fields = parse_stanza(stanza)
            return Package(
                name=name,
                version=fields["Version"],
                path=fields["Filename"],
                sha256=fields["SHA256"].lower(),
                size_bytes=int(fields["Size"]),
                depends=parse_depends(fields.get("Pre-Depends", "")) + parse_depends(fields.get("Depends", "")),
            )
        except (KeyError, ValueError) as error:
            raise FetchError(f"the index entry of {name} cannot be read: {error}", "try another --mirror") from error


def is_newer(version: str, than: str) -> bool:
    """Compare two Debian versions by Debian's own rules."""
    tool = find_tool("dpkg")
    return subprocess.run([tool, "--compare-versions", version, "gt", than], check=False).returncode == 0


# --- Tools and downloads ---


def find_tool(name: str) -> str:
    """Return the path of a program.  Raises FetchError (exit code 2) when it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise FetchError(f"{name} is not installed", "apt-get install dpkg", exit_code=2)
    return path


class Downloader:
    """Fetches files of a mirror into a cache folder that is keyed by SHA-256.

    A download that breaks off stays as `<sha256>.part` and is continued next time.  A file gets its final name only
    after its hash was found right, so whatever has such a name is whole.
    """

    def __init__(self, mirror: str, cache: Path) -> None:
        self.mirror = mirror.rstrip("/")
        self._cache = cache

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return a small file whose hash is not known beforehand.  Raises FetchError."""
        with self._open(path) as response:
            data: bytes = response.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise FetchError(f"{self._url(path)} is larger than {max_bytes} bytes", "try another --mirror")
        return data

    def fetch(self, path: str, sha256: str, size_bytes: int) -> Path:
        """Return the local copy of a file with that hash, after downloading what is missing of it.

        Raises FetchError when it cannot be had or is not what the hash says; a wrong file is deleted.
        """
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise FetchError(f"{path} is listed with a malformed SHA-256: {sha256!r}", "try another --mirror")
        target = self._cache / sha256
        if target.is_file() and hash_file(target) == sha256:
            return target
        self._cache.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{sha256}.part")
        resumed = part.is_file() and 0 < part.stat().st_size < size_bytes
        self._download(path, part, size_bytes, resumed)
        if hash_file(part) != sha256 and resumed:
            # The first half may have come from elsewhere: once more, from the start.
            self._download(path, part, size_bytes, resume=False)
        if (actual := hash_file(part)) != sha256:
            part.unlink()
            raise FetchError(
                f"{self._url(path)} has SHA-256 {actual}, the index says {sha256}: refused",
                "run again, or try another --mirror",
            )
        part.replace(target)
        return target

    def _download(self, path: str, part: Path, size_bytes: int, resume: bool) -> None:
        offset = part.stat().st_size if resume else 0
        with self._open(path, offset) as response:
            if getattr(response, "status", None) != 206:
                offset = 0
            try:
                with part.open("ab" if offset else "wb") as file:
                    while chunk := response.read(CHUNK_BYTES):
                        offset += len(chunk)
                        if offset > size_bytes:
                            break
                        file.write(chunk)
            except OSError as error:
                raise FetchError(f"{self._url(path)} broke off: {error}", "run again to continue") from error
        if offset != size_bytes:
            if offset > size_bytes:
                part.unlink()
            raise FetchError(
                f"{self._url(path)} has {'more than ' if offset > size_bytes else ''}{min(offset, size_bytes)} bytes, "
                f"the index says {size_bytes}",
                "run again to continue",
            )

    def _open(self, path: str, offset: int = 0) -> Any:
        request = urllib.request.Request(self._url(path))
        if offset:
            request.add_header("Range", f"bytes={offset}-")
        try:
            return urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            raise FetchError(f"{self._url(path)}: {error}", "check the suite's name and --mirror") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise FetchError(f"{self._url(path)} cannot be reached: {reason}", "check the network and --mirror") from error

    def _url(self, path: str) -> str:
        return f"{self.mirror}/{path}"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def verify_signature(signed: bytes, keyring: Path) -> tuple[str, str]:
    """Check an `InRelease` file against a keyring.

    Returns the text that is covered by the signature, and how it was checked, in words.  Raises FetchError when the
    check was made and failed; when gpgv or the keyring is missing, the words say so.
    """
    gpgv = shutil.which("gpgv")
    missing = "gpgv" if gpgv is None else "" if keyring.is_file() else str(keyring)
    if gpgv is None or missing:
        return strip_signature(signed.decode("utf-8")), f"not checked: {missing} is missing"
    with tempfile.TemporaryDirectory() as folder:
        inrelease, text = Path(folder, "InRelease"), Path(folder, "Release")
        inrelease.write_bytes(signed)
        command = [gpgv, "--status-fd", "1", "--keyring", str(keyring), "--output", str(text), str(inrelease)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        status = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("[GNUPG:] ")]
        # Debian signs with the keys of two or three releases, of which an older keyring knows only some: one good
        # signature is enough and a bad one too many, which is also apt's rule.
        good = [words for words in status if words[0] == "GOODSIG"]
        if not good or any(words[0] == "BADSIG" for words in status) or not text.is_file():
            raise FetchError(
                "the signature of InRelease does not verify against Debian's archive keys: refused",
                "try another --mirror, or update debian-archive-keyring",
            )
        return text.read_text("utf-8"), "good: " + ", ".join(" ".join(words[2:]) for words in good)


def strip_signature(text: str) -> str:
    """Return the text inside a clear-signed message (RFC 9580, section 7), or the text as it is."""
    if not text.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
        return text
    body = text.partition("\n\n")[2].partition("\n-----BEGIN PGP SIGNATURE-----")[0]
    return re.sub(r"^- ", "", body, flags=re.MULTILINE)


def read_release(downloader: Downloader, suite: str, keyring: Path = ARCHIVE_KEYRING) -> tuple[Release, str]:
    """Fetch and check a suite's `InRelease`; return it and how its signature was checked.  Raises FetchError."""
    text, signature = verify_signature(downloader.read(f"dists/{suite}/InRelease", RELEASE_MAX_BYTES), keyring)
    release = parse_release(text)
    if suite not in release.names:
        raise FetchError(
            f"the mirror's InRelease for {suite} is for {' / '.join(sorted(release.names))}: refused",
            "try another --mirror",
        )
    if not signature.startswith("good"):
        note(f"warning: {suite}: signature {signature}")
    if release.valid_until and release.valid_until < datetime.now(timezone.utc):
        note(f"warning: {suite}: the mirror's index was valid until {release.valid_until:%Y-%m-%d}; it may be outdated")
    return release, signature


def read_index(downloader: Downloader, suite: str, arch: str, release: Release) -> PackageIndex:
    """Fetch and check the suite's package index for an architecture.  Raises FetchError."""
    folder = f"main/binary-{arch}"
    entry = release.files.get(f"{folder}/Packages.xz")
    if entry is None:
        raise FetchError(f"{suite} has no packages for the architecture {arch}", "choose another --arch", exit_code=2)
    # By its hash, the index stays reachable while the mirror is being updated.
    path = downloader.fetch(f"dists/{suite}/{folder}/by-hash/SHA256/{entry.sha256}", entry.sha256, entry.size_bytes)
    try:
        return PackageIndex(lzma.decompress(path.read_bytes()).decode("utf-8"))
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise FetchError(f"the package index of {suite} cannot be read: {error}", "try another --mirror") from error


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
            build = Build(**{**data, "suites": tuple(data["suites"]), "packages": tuple(data["packages"])}, path=manifest.parent)
        except (KeyError, TypeError, ValueError):
            continue
        if build.launcher.is_file():
            builds.append(build)
    return builds


def elf_interpreter(binary: Path) -> str:
    """Return the dynamic loader that an ELF file names in its PT_INTERP header, as an absolute path.  Raises FetchError.

    Source: System V ABI, "Program Header".
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
    """Return the file that a system path means inside an unpacked tree, with or without merged /usr.  Raises FetchError."""
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


def install(suite: str, arch: str, folder: Path, downloader: Downloader, keyring: Path = ARCHIVE_KEYRING) -> Build:
    """Install a suite's MicroPython into a folder, replacing an older copy of it, and return it.  Raises FetchError.

    The build is made in a hidden folder and started there; only then does it get its name.
    """
    release, signature = read_release(downloader, suite, keyring)
    packages = read_index(downloader, suite, arch, release).closure(PACKAGE)
    described = tuple({"name": each.name, "version": each.version, "sha256": each.sha256} for each in packages)
    for build in installed_builds(folder):
        if build.arch == arch and build.packages == described:
            build = replace(build, suites=tuple(sorted({*build.suites, suite})))
            write_manifest(build, build.path)
            return build

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
    return build


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
    builds = list(builds)
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
            raise FetchError(f"{name!r} is not the name of a suite or architecture", "use one such as trixie", exit_code=2)
    downloader = Downloader(options.mirror, options.folder / ".cache")
    builds = []
    with locked(options.folder):
        for suite in suites:
            present = [each for each in installed_builds(options.folder) if each.arch == arch and suite in each.suites]
            if present and not options.refresh:
                builds.append(present[-1])
                continue
            builds.append(install(suite, arch, options.folder, downloader))
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
