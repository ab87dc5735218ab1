"""Firmware as micropython.org publishes it: the list of a board's files, and resumable downloads into a cache.

The page https://micropython.org/download/BOARD/ links files as /resources/firmware/BOARD[-VARIANT]-YYYYMMDD-vX.Y.Z.EXT.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import platformdirs
from filelock import FileLock, Timeout

from .. import __version__
from ..catalogue import Board
from ..errors import HostError, UsageError
from ..files import read_file, write_atomic
from .images import Image, inspect, require_for
from .lockfile import LockFile

OFFICIAL = "https://micropython.org"
MIRROR_ENVIRONMENT = "ROOTLET_FIRMWARE_MIRROR"
CACHE_ENVIRONMENT = "ROOTLET_CACHE"

# The largest published file (ESP32-S3 with ROMFS) is below 4 MB; a page below 1 MB.
MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_PAGE_BYTES = 4 * 1024 * 1024
_ATTEMPTS = 3
_RATE_S = 30.0
_LEAST_BYTES = 3000  # within that time
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
_TURN_S = 300.0  # how long another run of rootlet may take for its download

_NAME = re.compile(
    r"(?P<prefix>[A-Z0-9_]+(?:-[A-Z0-9_]+)?)-(?P<date>\d{8})-(?:unstable-)?"
    r"(?P<version>v\d{1,4}(?:\.\d{1,4}){1,3}(?:-preview\.\d+\.g[0-9a-f]+|-\d+-g[0-9a-f]+)?)\.(?P<format>bin|hex|dfu)"
)

Report = Callable[[int, int | None], None]
"""`report(bytes so far, bytes in all or None)`."""


@dataclass(frozen=True)
class Release:
    """One published file."""

    name: str
    url: str
    date: str  # YYYY-MM-DD
    version: str  # as published, with the v
    format: str

    @property
    def preview(self) -> bool:
        return "-" in self.version

    @property
    def order(self) -> tuple[tuple[int, ...], int, str]:
        """For sorting: number, releases after their previews, date."""
        numbers = tuple(int(part) for part in self.version[1:].split("-")[0].split("."))
        return numbers, 0 if self.preview else 1, self.date


def base_address(mirror: str | None) -> str:
    """The address that stands for https://micropython.org; plain HTTP only to this machine."""
    address = (mirror or os.environ.get(MIRROR_ENVIRONMENT) or OFFICIAL).rstrip("/")
    try:
        parts = urlsplit(address)
        usable = (
            parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0 and address.isprintable()
        )
    except ValueError:  # half of an IPv6 address, or a port above 65535
        usable = False
    if not usable:
        raise UsageError(f"{address} is not a web address", remedy="give it as https://HOST[/PATH]")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise UsageError(
            f"firmware is not fetched over plain HTTP from {parts.hostname}", remedy="give an https:// address"
        )
    return address


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cache_folder() -> Path:
    """`$ROOTLET_CACHE/firmware`, else the platform's cache folder."""
    named = os.environ.get(CACHE_ENVIRONMENT)
    return (Path(named) if named else platformdirs.user_cache_path("rootlet")) / "firmware"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def parse_page(html: str, page_url: str, board: Board) -> list[Release]:
    """The files of `board` (its variant only) that a download page links, newest first."""
    links = _Links()
    links.feed(html)
    releases: dict[str, Release] = {}
    for link in links.found:
        try:
            url = urljoin(page_url, link)
            name = urlsplit(url).path.rsplit("/", 1)[-1]
        except ValueError:  # half of an IPv6 address
            continue
        match = _NAME.fullmatch(name)
        if match is None or match["prefix"] != board.file_prefix or match["format"] not in board.formats:
            continue
        day = match["date"]
        releases[name] = Release(name, url, f"{day[:4]}-{day[4:6]}-{day[6:]}", match["version"], match["format"])
    preferred = {name: -number for number, name in enumerate(board.formats)}
    return sorted(releases.values(), key=lambda item: (*item.order, preferred[item.format]), reverse=True)


def pick(releases: list[Release], board: Board, version: str | None, form: str | None) -> Release:
    """The release that is wanted: by version (v1.26.1 or 1.26.1), else the newest that is no preview."""
    if form is not None and form not in board.formats:
        raise UsageError(
            f"{board.id} is published as {', '.join(board.formats)}, not as {form}",
            remedy="give one of these with --format, or leave it out",
        )
    fitting = [item for item in releases if form is None or item.format == form]
    if version is not None:
        wanted = version if version.startswith("v") else f"v{version}"
        fitting = [item for item in fitting if item.version == wanted]
        if not fitting:
            raise UsageError(
                f"there is no {wanted} for {board.id}", remedy=f"rootlet firmware list {board.id} shows what there is"
            )
        return fitting[0]
    stable = [item for item in fitting if not item.preview]
    if not stable:
        raise HostError(f"no release for {board.id} was found", remedy="see rootlet firmware list --previews")
    return stable[0]


class Downloader:
    """Fetches pages and files from one base address."""

    def __init__(self, mirror: str | None = None, cache: Path | None = None) -> None:
        self.base = base_address(mirror)
        self.cache = cache or cache_folder()
        try:
            self._client = httpx.Client(
                timeout=_TIMEOUT,
                follow_redirects=True,
                headers={"User-Agent": f"rootlet/{__version__}"},
                event_hooks={"request": [self._allow]},
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise UsageError(
                f"this computer's proxy cannot be used: {error}", remedy="correct or unset HTTPS_PROXY and ALL_PROXY"
            ) from error

    def __enter__(self) -> Downloader:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _allow(self, request: httpx.Request) -> None:
        """Called for every hop of a redirect: none may leave HTTPS, except on this machine."""
        if request.url.scheme != "https" and not _is_loopback(request.url.host):
            raise HostError(f"{self.base} redirects to plain HTTP ({request.url.host})", remedy="use another --mirror")

    def releases(self, board: Board) -> list[Release]:
        """All files published for `board`."""
        if board.download is None:
            raise UsageError(
                f"no published firmware is known for {board.id}", remedy="build it and flash it with --file"
            )
        url = f"{self.base}/download/{board.download}/"
        try:
            with self._client.stream("GET", url) as response:
                _require_ok(response, url)
                page = bytearray()
                least = _LeastRate()
                for block in response.iter_bytes():
                    page += block
                    if len(page) > MAX_PAGE_BYTES:
                        raise HostError(
                            f"the page {url} is larger than {MAX_PAGE_BYTES} bytes",
                            remedy="check the address or the mirror",
                        )
                    least.require(len(block))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _network_error(url, error, "check the network; rootlet flash --file takes a local image") from error
        found = parse_page(page.decode("utf-8", "replace"), str(response.url), board)
        if not found:
            raise HostError(f"{url} links no firmware for {board.id}", remedy="check the address, or use --file")
        return found

    def get(self, release: Release, board: Board, lock: LockFile, report: Report | None = None) -> tuple[Path, Image]:
        """The file in the cache, fetched if need be, its content checked and held to the lock file."""
        try:
            return self._get(release, board, lock, report)
        except OSError as error:
            raise HostError(
                f"cannot use the cache {self.cache}: {error.strerror or error}",
                remedy=f"make room there, or name another folder with {CACHE_ENVIRONMENT}",
            ) from error

    def _get(self, release: Release, board: Board, lock: LockFile, report: Report | None) -> tuple[Path, Image]:
        path = self.cache / release.name
        if not path.is_file():
            self.cache.mkdir(parents=True, exist_ok=True)
            if report is not None:
                report(0, None)
            with self._turn():
                if not path.is_file():  # nobody else has fetched it meanwhile
                    return path, self._download(path, release, board, lock, report)
        data = path.read_bytes()
        try:
            image = self._check(data, release, board, lock)
        except HostError:
            path.unlink(missing_ok=True)  # a damaged cache entry is fetched anew next time
            raise
        lock.record(release.name, image.sha256, len(data), release.url)
        if report is not None:
            report(len(data), len(data))
        return path, image

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One run of rootlet at a time downloads into the cache: what has arrived of a file has one place there."""
        try:
            with FileLock(self.cache / ".lock", timeout=_TURN_S):
                yield
        except Timeout as error:
            raise HostError(
                f"another rootlet has been downloading into {self.cache} for {_TURN_S:.0f} s",
                remedy=f"wait for it, end it, or name another folder with {CACHE_ENVIRONMENT}",
            ) from error

    def _download(self, path: Path, release: Release, board: Board, lock: LockFile, report: Report | None) -> Image:
        """Fetch a file, or the rest of it, and give it its name once it is found good."""
        part = path.with_name(f"{path.name}.part")
        self._fetch(release.url, part, report)
        data = part.read_bytes()
        try:
            image = self._check(data, release, board, lock)
        except HostError:
            _forget(part)
            raise
        part.replace(path)
        _forget(part)
        lock.record(release.name, image.sha256, len(data), release.url)
        return image

    def _check(self, data: bytes, release: Release, board: Board, lock: LockFile) -> Image:
        """Raises HostError unless `data` is the firmware that it shall be, and the one that was recorded."""
        image = inspect(data, release.name)
        require_for(image, board)
        lock.require(release.name, image.sha256)
        return image

    def _fetch(self, url: str, part: Path, report: Report | None) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._fetch_once(url, part, report)
                return
            except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
                # What has arrived stays in the .part file; the next attempt, or the next run, goes on from there.
                passing = isinstance(error, httpx.TransportError | httpx.StreamError)
                if attempt == _ATTEMPTS or not passing or isinstance(error, httpx.UnsupportedProtocol):
                    remedy = "check the network; what has arrived is kept, run it again to go on"
                    raise _network_error(url, error, remedy) from error
                time.sleep(0.2 * attempt)

    def _fetch_once(self, url: str, part: Path, report: Report | None) -> None:
        state = _read_state(part)
        have = part.stat().st_size if part.is_file() and state.get("url") == url and state.get("validator") else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            # If-Range: the server sends the rest only if the file is still the same one (RFC 9110, 13.1.5).
            headers |= {"Range": f"bytes={have}-", "If-Range": state["validator"]}
        with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                _forget(part)
                raise httpx.ReadError("the server has a shorter file than was fetched before")
            _require_ok(response, url)
            kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
            if kind in ("text/html", "application/xhtml+xml"):
                raise HostError(
                    f"{url} answered with a web page, not with firmware", remedy="check the address or the mirror"
                )
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if resumed and not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
                _forget(part)
                raise httpx.ReadError("the server sent another range than was asked for")
            done = have if resumed else 0
            length = response.headers.get("content-length", "")
            total = done + int(length) if length.isdigit() else None
            if max(total or 0, done) > MAX_FILE_BYTES:
                _forget(part)
                raise HostError(f"{url} is larger than {MAX_FILE_BYTES} bytes", remedy="this is no firmware file")
            if not resumed:
                _write_state(part, {"url": url, "validator": _validator(response)})
            least = _LeastRate()
            with part.open("ab" if resumed else "wb") as file:
                for block in response.iter_raw():  # as it arrives, so that nothing is lost when the line breaks
                    done += len(block)
                    if done > MAX_FILE_BYTES:
                        break
                    file.write(block)
                    if report is not None:
                        report(done, total)
                    least.require(len(block))
            if done > MAX_FILE_BYTES:
                _forget(part)
                raise HostError(f"{url} is larger than {MAX_FILE_BYTES} bytes", remedy="this is no firmware file")
            if total is not None and done != total:
                raise httpx.ReadError(f"{done} of {total} bytes arrived")


def local(path: Path, board: Board, lock: LockFile) -> tuple[Image, list[str]]:
    """A firmware file of the user: checked, and held to the lock file if its name is recorded there."""
    data = read_file(path, "the firmware", MAX_FILE_BYTES)
    image = inspect(data, path.name)
    warnings = require_for(image, board)
    lock.require(path.name, image.sha256)
    return image, warnings


class _LeastRate:
    """Gives a server up that keeps a connection alive with a byte now and then."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._received = 0

    def require(self, received: int) -> None:
        """`received` bytes more have come. Raises httpx.ReadTimeout if there were too few for too long."""
        self._received += received
        now = time.monotonic()
        if now - self._since < _RATE_S:
            return
        if self._received < _LEAST_BYTES:
            raise httpx.ReadTimeout(f"only {self._received} bytes came within {now - self._since:.0f} s")
        self._since, self._received = now, 0


def _require_ok(response: httpx.Response, url: str) -> None:
    if response.status_code == httpx.codes.NOT_FOUND:
        raise HostError(f"{url} does not exist (404)", remedy="check the board, the version and the mirror")
    if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        raise HostError(f"{url} answered {response.status_code} {response.reason_phrase}", remedy="try again later")


def _network_error(url: str, error: Exception, remedy: str) -> HostError:
    host = urlsplit(url).hostname
    what = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in what:
        return HostError(f"the certificate of {host} is not valid: {what}", remedy="check the clock and the network")
    return HostError(f"cannot fetch {url}: {what}", remedy=remedy)


def _validator(response: httpx.Response) -> str:
    """A strong ETag, else Last-Modified; nothing when the file cannot be told from a changed one."""
    etag: str = response.headers.get("etag", "")
    if etag and not etag.startswith("W/"):
        return etag
    modified: str = response.headers.get("last-modified", "")
    return modified


def _state_path(part: Path) -> Path:
    return part.with_suffix(".part.json")


def _read_state(part: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        state = json.loads(_state_path(part).read_text(encoding="utf-8"))
        if isinstance(state, dict) and all(isinstance(value, str) for value in state.values()):
            return state
    return {}


def _write_state(part: Path, state: dict[str, Any]) -> None:
    write_atomic(_state_path(part), json.dumps(state).encode())


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_path(part).unlink(missing_ok=True)
