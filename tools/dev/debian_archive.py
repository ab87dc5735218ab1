"""Read a Debian archive with every byte checked: suites, package indexes, packages.

The chain: a suite's `InRelease` against Debian's archive keys (`gpgv`, package debian-archive-keyring; where either is
missing the caller learns so, and is left with what HTTPS gives), the package index against `InRelease`, each package
against the index.  An index past its Valid-Until date is used with a warning.
See https://wiki.debian.org/DebianRepository/Format for these files.
"""

from __future__ import annotations

import hashlib
import http.client
import lzma
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

ARCHIVE_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

NETWORK_TIMEOUT_S: Final = 60
CHUNK_BYTES: Final = 1 << 16
RELEASE_MAX_BYTES: Final = 4 << 20


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
        try:
            with self._open(path) as response:
                data: bytes = response.read(max_bytes + 1)
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(f"{self._url(path)} broke off: {error}", "run again") from error
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
            except (OSError, http.client.HTTPException) as error:
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
        request = urllib.request.Request(self._url(path))  # noqa: S310 - a file: mirror is as good
        if offset:
            request.add_header("Range", f"bytes={offset}-")
        try:
            return urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S)  # noqa: S310 - contents are verified
        except urllib.error.HTTPError as error:
            raise FetchError(f"{self._url(path)}: {error}", "check the suite's name and --mirror") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            message = f"{self._url(path)} cannot be reached: {reason}"
            raise FetchError(message, "check the network and --mirror") from error

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


def read_release(downloader: Downloader, suite: str, keyring: Path) -> tuple[Release, str]:
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
