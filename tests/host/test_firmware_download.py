"""Downloads: the page's links, resumption, the cache, the lock file, and every wrong answer of a server."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from rootlet_host.app import app
from rootlet_host.catalogue import load
from rootlet_host.errors import HostError, UsageError
from rootlet_host.firmware import download
from rootlet_host.firmware.download import Downloader, base_address, parse_page, pick
from rootlet_host.firmware.images import inspect
from rootlet_host.firmware.lockfile import HashMismatch, LockFile
from simulators.firmware import as_dfu, as_hex, esp_firmware, filler, stm32_parts
from simulators.web import FirmwareSite
from typer.testing import CliRunner

C3 = load().get("ESP32_GENERIC_C3")
NAME = "ESP32_GENERIC_C3-20250911-v1.26.1.bin"
IMAGE = esp_firmware("esp32c3")


@pytest.fixture
def site() -> Iterator[FirmwareSite]:
    with FirmwareSite() as server:
        server.page("ESP32_GENERIC_C3", NAME)
        yield server


@pytest.fixture
def lock(tmp_path: Path) -> LockFile:
    return LockFile(tmp_path / "locks" / "firmware.lock")


@pytest.fixture
def downloader(site: FirmwareSite, tmp_path: Path) -> Iterator[Downloader]:
    with Downloader(site.url, tmp_path / "cache") as made:
        yield made


def fetch(downloader: Downloader, lock: LockFile) -> Path:
    return downloader.get(downloader.releases(C3)[0], C3, lock)[0]


def left_behind(downloader: Downloader) -> list[str]:
    """Besides the file by which runs take turns, which stays."""
    return sorted(path.name for path in downloader.cache.iterdir() if path.name != ".lock")


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_gives_the_files_of_the_board_newest_first(site: FirmwareSite, downloader: Downloader) -> None:
    site.page(
        "ESP32_GENERIC_C3",
        "ESP32_GENERIC_C3-20241129-v1.24.1.bin",
        "ESP32_GENERIC_C3-20250911-v1.26.1.app-bin",
        "ESP32_GENERIC_C3-20250911-v1.26.1.elf",
        "ESP32_GENERIC_C3-20250911-v1.26.1.map",
        "ESP32_GENERIC_C3-20251009-v1.27.0-preview.189.gf9bfeaf5c.bin",
        "ESP32_GENERIC_C3-20240105-unstable-v1.23.0-preview.41.gcddb9137d.bin",
        "ESP32_GENERIC_C3-20250415-v1.25.0.bin",
        NAME,
        NAME,
    )
    found = downloader.releases(C3)
    assert [item.version for item in found] == [
        "v1.27.0-preview.189.gf9bfeaf5c",
        "v1.26.1",
        "v1.25.0",
        "v1.24.1",
        "v1.23.0-preview.41.gcddb9137d",
    ]
    assert found[1].date == "2025-09-11"
    assert found[1].url == f"{site.url}/resources/firmware/{NAME}"


def test_a_variant_and_its_base_board_share_a_page_but_not_their_files() -> None:
    html = "".join(
        f'<a href="/resources/firmware/{name}">x</a>'
        for name in ("ESP32_GENERIC-20250911-v1.26.1.bin", "ESP32_GENERIC-SPIRAM-20250911-v1.26.1.bin")
    )
    url = "https://micropython.org/download/ESP32_GENERIC/"
    base, variant = load().get("ESP32_GENERIC"), load().get("ESP32_GENERIC-SPIRAM")
    assert [item.name for item in parse_page(html, url, base)] == ["ESP32_GENERIC-20250911-v1.26.1.bin"]
    (only,) = parse_page(html, url, variant)
    assert only.url == "https://micropython.org/resources/firmware/ESP32_GENERIC-SPIRAM-20250911-v1.26.1.bin"


def test_the_newest_release_is_taken_and_previews_only_when_named() -> None:
    html = "".join(
        f'<a href="/resources/firmware/NUCLEO_F401RE-{rest}">x</a>'
        for rest in ("20250911-v1.26.1.dfu", "20250911-v1.26.1.hex", "20251009-v1.27.0-preview.1.gabc.hex")
    )
    board = load().get("NUCLEO_F401RE")
    found = parse_page(html, "https://micropython.org/download/NUCLEO_F401RE/", board)
    assert pick(found, board, None, None).name == "NUCLEO_F401RE-20250911-v1.26.1.hex"
    assert pick(found, board, None, "dfu").name == "NUCLEO_F401RE-20250911-v1.26.1.dfu"
    assert pick(found, board, "1.27.0-preview.1.gabc", None).preview
    with pytest.raises(UsageError, match=r"no v1\.99"):
        pick(found, board, "v1.99", None)
    with pytest.raises(UsageError, match="not as bin"):
        pick(found, board, None, "bin")


def test_a_page_without_files_of_the_board_is_an_error(site: FirmwareSite, downloader: Downloader) -> None:
    site.page("ESP32_GENERIC_C3", "ESP32_GENERIC-20250911-v1.26.1.bin")
    with pytest.raises(HostError, match="links no firmware"):
        downloader.releases(C3)


def test_a_board_without_published_firmware_is_refused(downloader: Downloader) -> None:
    with pytest.raises(UsageError, match="no published firmware") as caught:
        downloader.releases(load().get("NUCLEO_N657X0"))
    assert "--file" in caught.value.remedy


# --- where from ---------------------------------------------------------------------------------------------------


def test_the_address_can_be_changed_by_option_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(download.MIRROR_ENVIRONMENT, raising=False)
    assert base_address(None) == "https://micropython.org"
    monkeypatch.setenv(download.MIRROR_ENVIRONMENT, "https://mirror.example/mp/")
    assert base_address(None) == "https://mirror.example/mp"
    assert base_address("https://other.example") == "https://other.example"


@pytest.mark.parametrize("address", ["http://mirror.example", "ftp://x", "mirror.example", "http://10.0.0.1"])
def test_no_plain_http_except_to_this_machine(address: str) -> None:
    with pytest.raises(UsageError):
        base_address(address)


def test_a_redirect_to_plain_http_elsewhere_is_not_followed(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    site.publish(NAME, IMAGE, redirect="http://mirror.example/x.bin")
    with pytest.raises(HostError, match="redirects to plain HTTP"):
        fetch(downloader, lock)
    assert left_behind(downloader) == []


# --- the file -----------------------------------------------------------------------------------------------------


def test_a_download_is_checked_cached_and_recorded(site: FirmwareSite, downloader: Downloader, lock: LockFile) -> None:
    entry = site.publish(NAME, IMAGE)
    seen: list[tuple[int, int | None]] = []
    path, image = downloader.get(downloader.releases(C3)[0], C3, lock, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == IMAGE
    assert image.chip == "esp32c3"
    assert seen[-1] == (len(IMAGE), len(IMAGE))
    assert left_behind(downloader) == [NAME]
    assert LockFile(lock.path).pins[NAME].sha256 == hashlib.sha256(IMAGE).hexdigest()
    fetch(downloader, lock)
    assert len(entry.requests) == 1, "the cached file is used"


def test_a_cut_connection_is_resumed_where_it_stopped(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    entry = site.publish(NAME, IMAGE, cut_at=40_000, cuts=2)
    assert fetch(downloader, lock).read_bytes() == IMAGE
    assert [request.get("range") for request in entry.requests] == [None, "bytes=40000-", "bytes=80000-"]
    assert entry.requests[1]["if-range"] == '"v1"'


def test_what_has_arrived_survives_the_program_and_is_used_by_the_next_run(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    entry = site.publish(NAME, IMAGE, cut_at=20_000, cuts=3)
    with pytest.raises(HostError, match="cannot fetch"):
        fetch(downloader, lock)
    assert NAME not in left_behind(downloader), "an incomplete file never has the real name"
    with Downloader(site.url, downloader.cache) as another:
        assert fetch(another, lock).read_bytes() == IMAGE
    assert entry.requests[-1]["range"] == "bytes=60000-"
    assert left_behind(downloader) == [NAME]


def test_a_file_that_changed_in_between_is_fetched_anew(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    entry = site.publish(NAME, esp_firmware("esp32c3", version="v1.0"), cut_at=30_000, cuts=3)
    with pytest.raises(HostError):
        fetch(downloader, lock)
    entry.data, entry.etag = IMAGE, '"v2"'
    assert fetch(downloader, lock).read_bytes() == IMAGE


def test_without_a_validator_nothing_is_resumed(site: FirmwareSite, downloader: Downloader, lock: LockFile) -> None:
    entry = site.publish(NAME, IMAGE, cut_at=30_000, cuts=1, etag=None)
    assert fetch(downloader, lock).read_bytes() == IMAGE
    assert [request.get("range") for request in entry.requests] == [None, None]


def test_a_server_without_ranges_starts_over(site: FirmwareSite, downloader: Downloader, lock: LockFile) -> None:
    site.publish(NAME, IMAGE, cut_at=30_000, cuts=1, ranges=False)
    assert fetch(downloader, lock).read_bytes() == IMAGE


def test_a_server_that_sends_another_range_is_not_believed(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    site.publish(NAME, IMAGE, cut_at=30_000, cuts=1, wrong_range=True)
    assert fetch(downloader, lock).read_bytes() == IMAGE


def test_a_server_whose_file_became_shorter_is_asked_again(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    entry = site.publish(NAME, IMAGE + filler(50_000), cut_at=len(IMAGE) + 10, cuts=3)
    entry.cuts = 1
    downloader.cache.mkdir(parents=True)
    part = downloader.cache / f"{NAME}.part"
    part.write_bytes(IMAGE + b"1234567890")
    download._write_state(part, {"url": f"{site.url}/resources/firmware/{NAME}", "validator": '"v1"'})
    entry.data, entry.cuts = IMAGE, 0
    assert fetch(downloader, lock).read_bytes() == IMAGE


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
def test_an_error_page_is_never_taken_for_firmware(
    site: FirmwareSite, downloader: Downloader, lock: LockFile, content_type: str
) -> None:
    site.publish(NAME, b"<!DOCTYPE html><html>Not found, but 200</html>", content_type=content_type)
    with pytest.raises(HostError, match="web page"):
        fetch(downloader, lock)
    assert left_behind(downloader) == []
    assert lock.pins == {}


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_error_status_is_reported(site: FirmwareSite, downloader: Downloader, lock: LockFile, status: int) -> None:
    site.publish(NAME, IMAGE, status=status)
    with pytest.raises(HostError, match=str(status)):
        fetch(downloader, lock)
    assert left_behind(downloader) == []


def test_a_damaged_file_is_thrown_away_and_not_recorded(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    site.publish(NAME, IMAGE[:0x9000] + b"\0" + IMAGE[0x9001:-5000] + bytes(5000))
    with pytest.raises(HostError, match="damaged"):
        fetch(downloader, lock)
    assert left_behind(downloader) == []
    assert lock.pins == {}


def test_an_empty_file_is_refused(site: FirmwareSite, downloader: Downloader, lock: LockFile) -> None:
    site.publish(NAME, b"")
    with pytest.raises(HostError, match="empty"):
        fetch(downloader, lock)
    assert left_behind(downloader) == []
    assert lock.pins == {}


def test_a_full_disk_is_named_and_what_has_arrived_is_used_when_there_is_room(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    entry = site.publish(NAME, IMAGE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(HostError, match="cannot use the cache") as caught:
            fetch(downloader, lock)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "ROOTLET_CACHE" in caught.value.remedy
    assert NAME not in left_behind(downloader)
    assert lock.pins == {}
    assert fetch(downloader, lock).read_bytes() == IMAGE
    assert entry.requests[-1]["range"] == "bytes=50000-"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_cache_that_may_not_be_written_is_named(site: FirmwareSite, downloader: Downloader, lock: LockFile) -> None:
    site.publish(NAME, IMAGE)
    release = downloader.releases(C3)[0]  # everything is loaded now
    inspect(IMAGE, NAME)
    downloader.cache.mkdir(parents=True)
    downloader.cache.chmod(0o500)
    os.seteuid(65534)
    try:
        with pytest.raises(HostError, match=r"cannot use the cache .*: Permission denied"):
            downloader.get(release, C3, lock)
    finally:
        os.seteuid(0)
    assert left_behind(downloader) == []


def test_a_lock_file_that_cannot_be_used_costs_no_download(
    site: FirmwareSite, downloader: Downloader, lock: LockFile, tmp_path: Path
) -> None:
    entry = site.publish(NAME, IMAGE)
    (tmp_path / "locks").write_bytes(b"")
    for _ in range(2):  # fetched, and found in the cache
        with pytest.raises(HostError, match="the lock file"):
            fetch(downloader, lock)
        assert left_behind(downloader) == [NAME]
    (tmp_path / "locks").unlink()
    fetch(downloader, lock)
    assert lock.require(NAME, hashlib.sha256(IMAGE).hexdigest())
    assert len(entry.requests) == 1


def test_two_downloads_at_once_take_turns_and_the_second_uses_what_the_first_fetched(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    entry = site.publish(NAME, IMAGE, gate=threading.Event())
    with Downloader(site.url, downloader.cache) as another, ThreadPoolExecutor() as pool:
        first = pool.submit(fetch, downloader, lock)
        assert entry.asked.wait(10)
        waiting = threading.Event()
        release = another.releases(C3)[0]
        second = pool.submit(another.get, release, C3, LockFile(lock.path), lambda *_: waiting.set())
        assert waiting.wait(10)
        assert not second.done()
        entry.gate.set()
        assert first.result(10).read_bytes() == second.result(10)[0].read_bytes() == IMAGE
    assert len(entry.requests) == 1
    assert left_behind(downloader) == [NAME]


def test_a_download_that_another_one_holds_up_for_too_long_is_refused_with_a_remedy(
    site: FirmwareSite, downloader: Downloader, lock: LockFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish(NAME, IMAGE)
    downloader.cache.mkdir(parents=True)
    monkeypatch.setattr(download, "_TURN_S", 0.1)
    with FileLock(downloader.cache / ".lock"), pytest.raises(HostError, match="another rootlet") as caught:
        fetch(downloader, lock)
    assert "ROOTLET_CACHE" in caught.value.remedy
    assert fetch(downloader, lock).read_bytes() == IMAGE


def test_for_a_file_that_is_there_nothing_is_written_into_the_cache(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    entry = site.publish(NAME, IMAGE)
    path = fetch(downloader, lock)
    (downloader.cache / ".lock").unlink()
    assert fetch(downloader, lock) == path
    assert left_behind(downloader) == [NAME]
    assert not (downloader.cache / ".lock").exists()
    assert len(entry.requests) == 1


def test_what_another_run_recorded_meanwhile_stays_recorded(lock: LockFile) -> None:
    another = LockFile(lock.path)
    assert lock.record("a.bin", "1" * 64, 1, "https://x/a.bin")
    assert another.record("b.bin", "2" * 64, 1, "https://x/b.bin")
    assert set(LockFile(lock.path).pins) == {"a.bin", "b.bin"}
    with pytest.raises(HashMismatch):
        lock.record("b.bin", "3" * 64, 1, "https://x/b.bin")


def test_a_file_for_another_chip_under_the_right_name_is_refused(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    site.publish(NAME, esp_firmware("esp32s3"))
    with pytest.raises(HostError, match="is for esp32s3"):
        fetch(downloader, lock)
    assert left_behind(downloader) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_an_endless_file_is_stopped(
    site: FirmwareSite, downloader: Downloader, lock: LockFile, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(download, "MAX_FILE_BYTES", 500_000)
    site.publish(NAME, IMAGE + bytes(2_000_000), chunked=chunked)
    with pytest.raises(HostError, match="larger than 500000"):
        fetch(downloader, lock)
    assert left_behind(downloader) == []


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with FirmwareSite() as server:
        url = server.url
    with Downloader(url, tmp_path) as made, pytest.raises(HostError, match="cannot fetch") as caught:
        made.releases(C3)
    assert "\n" not in str(caught.value)


# --- the lock file ------------------------------------------------------------------------------------------------


def test_a_file_that_changed_after_its_first_use_is_refused(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    site.publish(NAME, IMAGE)
    fetch(downloader, lock).unlink()
    site.publish(NAME, esp_firmware("esp32c3", version="v6.6.6"))
    with pytest.raises(HashMismatch, match="was recorded") as caught:
        fetch(downloader, lock)
    assert str(lock.path) in caught.value.remedy
    assert left_behind(downloader) == []


def test_a_cached_file_that_was_changed_is_refused_and_removed(
    site: FirmwareSite, downloader: Downloader, lock: LockFile
) -> None:
    site.publish(NAME, IMAGE)
    fetch(downloader, lock).write_bytes(esp_firmware("esp32c3", version="v6.6.6"))
    with pytest.raises(HashMismatch):
        fetch(downloader, lock)
    assert fetch(downloader, lock).read_bytes() == IMAGE


def test_a_local_file_is_held_to_the_record_of_its_name(tmp_path: Path, lock: LockFile) -> None:
    file = tmp_path / NAME
    file.write_bytes(IMAGE)
    image, _ = download.local(file, C3, lock)
    assert lock.pins == {}, "a local file has no published name to record"
    lock.record(NAME, image.sha256, len(IMAGE), "https://x")
    file.write_bytes(esp_firmware("esp32c3", version="v6.6.6"))
    with pytest.raises(HashMismatch):
        download.local(file, C3, lock)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"schema": 9, "files": {}}', '{"schema": 1, "files": []}', '{"schema": 1, "files": {"a": 1}}'],
)
def test_a_damaged_lock_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "firmware.lock"
    path.write_text(text)
    with pytest.raises(UsageError, match="lock file"):
        LockFile(path)
    assert path.read_text() == text


def test_the_lock_file_is_sorted_and_the_same_for_the_same_content(tmp_path: Path) -> None:
    for order in (("b", "a"), ("a", "b")):
        lock = LockFile(tmp_path / "-".join(order))
        for name in order:
            lock.record(name, "0" * 64, 1, "https://x")
    assert (tmp_path / "a-b").read_bytes() == (tmp_path / "b-a").read_bytes()


# --- the commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path, site: FirmwareSite) -> dict[str, str]:
    return {
        download.CACHE_ENVIRONMENT: str(tmp_path / "cache"),
        download.MIRROR_ENVIRONMENT: site.url,
        "ROOTLET_FIRMWARE_LOCK": str(tmp_path / "firmware.lock"),
    }


def test_list_and_get_from_the_command_line(site: FirmwareSite, environment: dict[str, str], tmp_path: Path) -> None:
    site.publish(NAME, IMAGE)
    runner = CliRunner()
    listed = runner.invoke(app, ["firmware", "list", "ESP32_GENERIC_C3", "--json"], env=environment)
    assert [row["version"] for row in json.loads(listed.stdout)] == ["v1.26.1"]
    wanted = tmp_path / "out.bin"
    got = runner.invoke(app, ["firmware", "get", "esp32_generic_c3", "-o", str(wanted)], env=environment)
    assert got.exit_code == 0, got.output
    assert wanted.read_bytes() == IMAGE
    assert got.stdout.strip() == str(wanted)
    rows = json.loads(runner.invoke(app, ["firmware", "list", "ESP32_GENERIC_C3", "--json"], env=environment).stdout)
    assert rows[0]["cached"] is True
    assert rows[0]["sha256"] == hashlib.sha256(IMAGE).hexdigest()
    table = runner.invoke(app, ["firmware", "list", "ESP32_GENERIC_C3"], env=environment).stdout
    assert NAME in table
    assert "cached, recorded" in table


def test_check_describes_a_local_file(tmp_path: Path, environment: dict[str, str]) -> None:
    for name, data in (("a.hex", as_hex(stm32_parts())), ("a.dfu", as_dfu(stm32_parts()))):
        file = tmp_path / name
        file.write_bytes(data)
        result = CliRunner().invoke(app, ["firmware", "check", "NUCLEO_F401RE", str(file), "--json"], env=environment)
        value = json.loads(result.stdout)
        assert value["machine"] == "NUCLEO-F401RE with STM32F401xE"
        assert [part["address"] for part in value["segments"]] == [0x0800_0000, 0x0802_0000]
