"""tools/dev/fetch_micropython.py, against a small mirror that each test makes: no network."""

from __future__ import annotations

import functools
import hashlib
import http.server
import lzma
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.programs import missing, program

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

import debian_archive  # noqa: E402
import fetch_micropython  # noqa: E402
from debian_archive import Downloader, FetchError, PackageIndex  # noqa: E402

INDEX = """\
Package: micropython
Version: 1.25.0+ds-1
Depends: libc6 (>= 2.38), libffi8 (>= 3.4) | libffi7
Filename: pool/main/m/micropython.deb
SHA256: {zeros}
Size: 1000
Description: Python for microcontrollers
 with a second line: and a colon

Package: libc6
Version: 2.41-12
Depends: micropython
Filename: pool/main/g/libc6.deb
SHA256: {zeros}
Size: 2000

Package: libffi7
Version: 3.3
Filename: pool/main/libf/libffi7.deb
SHA256: {zeros}
Size: 3000
""".format(zeros="0" * 64)


class Mirror:
    """A Debian mirror in a folder: suite `trixie`, architecture amd64, unsigned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()
        self._stanzas: list[str] = []

    def add(self, name: str, tree: Path, version: str = "1.0-1", depends: str = "") -> Path:
        """Build a real package from a tree of files, and list it; return the .deb."""
        control = tree / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        dependency = f"Depends: {depends}\n" if depends else ""
        fields = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n{dependency}"
        control.write_text(f"{fields}Maintainer: nobody <nobody@example.org>\nDescription: a test\n")
        deb = self.folder / "pool" / f"{name}_{version}.deb"
        deb.parent.mkdir(parents=True, exist_ok=True)
        command = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(deb)]
        subprocess.run(command, check=True, capture_output=True)
        sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
        self._stanzas.append(f"{fields}Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256}\n")
        return deb

    def publish(self, codename: str = "trixie") -> None:
        """Write the package index and InRelease."""
        index = lzma.compress("\n".join(self._stanzas).encode())
        sha256 = hashlib.sha256(index).hexdigest()
        suite = self.folder / "dists" / "trixie"
        path = suite / "main" / "binary-amd64" / "by-hash" / "SHA256" / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(index)
        files = f"SHA256:\n {sha256} {len(index)} main/binary-amd64/Packages.xz\n"
        (suite / "InRelease").write_text(f"Suite: stable\nCodename: {codename}\n{files}")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """An empty mirror, on a machine without Debian's keyring."""
    monkeypatch.setattr(fetch_micropython, "ARCHIVE_KEYRING", tmp_path / "no-keyring.gpg")
    return Mirror(tmp_path / "mirror")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where builds are installed."""
    return tmp_path / "builds"


def install(mirror: Mirror, folder: Path, *more: str) -> int:
    """Run the command line against the mirror; return its exit code."""
    return fetch_micropython.main(["trixie", "--arch", "amd64", "--mirror", mirror.url, "--folder", str(folder), *more])


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# --- Indexes ---


def test_closure_follows_dependencies_and_alternatives_and_survives_a_cycle() -> None:
    packages = PackageIndex(INDEX).closure("micropython")
    assert [package.name for package in packages] == ["micropython", "libc6", "libffi7"]
    assert packages[0].version == "1.25.0+ds-1"
    assert packages[2].size_bytes == 3000


def test_a_dependency_that_the_suite_lacks_is_named() -> None:
    with pytest.raises(FetchError, match=r"micropython depends on libffi8 \| libffi7"):
        PackageIndex(INDEX.replace("Package: libffi7", "Package: libffi6")).closure("micropython")


def test_the_newest_of_several_versions_is_taken_by_debian_rules() -> None:
    older = INDEX.replace("1.25.0+ds-1", "1.9.0-1")
    assert PackageIndex(older + "\n" + INDEX).get("micropython").version == "1.25.0+ds-1"
    assert PackageIndex(INDEX + "\n" + older).get("micropython").version == "1.25.0+ds-1"


@pytest.mark.parametrize("text", ["", "Suite: trixie\n", "SHA256:\n zz\n", "SHA256:\n aa many path\n", "no field\n"])
def test_an_unreadable_release_file_is_refused(text: str) -> None:
    with pytest.raises(FetchError, match="InRelease cannot be read"):
        debian_archive.parse_release(text)


def test_a_release_file_of_another_suite_is_refused(
    mirror: Mirror, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.publish(codename="buster")
    assert install(mirror, folder) == 1
    assert "InRelease for trixie is for buster / stable: refused" in capsys.readouterr().err


def test_a_changed_package_index_is_refused(mirror: Mirror, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.publish()
    (index,) = mirror.folder.rglob("by-hash/SHA256/*")
    data = bytearray(index.read_bytes())
    data[-1] ^= 1
    index.write_bytes(data)
    assert install(mirror, folder) == 1
    assert "/by-hash/SHA256/" in capsys.readouterr().err


# --- Signatures ---


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[tuple[Callable[[str], bytes], Path]]:
    """A new OpenPGP key: a function that clear-signs text with it, and the keyring that holds it."""
    program("gpg", "gnupg")
    program("gpgv", "gpgv")
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "Test <test@example.org>", "ed25519", "sign"], check=True)
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout)

    def sign(text: str) -> bytes:
        return subprocess.run([*gpg, "--clear-sign"], input=text.encode(), check=True, capture_output=True).stdout

    yield sign, keyring
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)


def test_only_the_signed_text_is_used(signer: tuple[Callable[[str], bytes], Path]) -> None:
    sign, keyring = signer
    text, how = debian_archive.verify_signature(
        b"Suite: before\n" + sign("Suite: trixie\n") + b"Suite: after\n", keyring
    )
    assert text.strip() == "Suite: trixie"
    assert how == "good: Test <test@example.org>"


def test_changed_signed_text_is_refused(signer: tuple[Callable[[str], bytes], Path]) -> None:
    sign, keyring = signer
    changed = sign("Suite: trixie\n").replace(b"trixie", b"buster")
    with pytest.raises(FetchError, match="signature of InRelease does not verify"):
        debian_archive.verify_signature(changed, keyring)


def test_unsigned_text_is_refused_where_the_keyring_exists(signer: tuple[Callable[[str], bytes], Path]) -> None:
    with pytest.raises(FetchError, match="signature of InRelease does not verify"):
        debian_archive.verify_signature(b"Suite: trixie\n", signer[1])


def test_a_missing_keyring_is_said(tmp_path: Path) -> None:
    missing = tmp_path / "none.gpg"
    signed = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: trixie\n-----BEGIN PGP SIGNATURE-----\n"
    text, how = debian_archive.verify_signature(signed, missing)
    assert text == "Suite: trixie"
    assert how.startswith("not checked:")


# --- Downloads ---


class RangeServer(http.server.ThreadingHTTPServer):
    """Serves one body on every path, from the offset that a Range header asks for, and keeps the offsets asked."""

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(RangeHandler))
        self.body = body
        self.offsets: list[int] = []


class RangeHandler(http.server.BaseHTTPRequestHandler):
    server: RangeServer

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        offset = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.server.offsets.append(offset)
        rest = self.server.body[offset:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with RangeServer(bytes(range(256)) * 1000) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def downloader(server: RangeServer, tmp_path: Path) -> Downloader:
    return Downloader(f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")


def fetch_body(downloader: Downloader, server: RangeServer) -> Path:
    return downloader.fetch("file", hashlib.sha256(server.body).hexdigest(), len(server.body))


def test_a_broken_off_download_is_continued(server: RangeServer, downloader: Downloader, tmp_path: Path) -> None:
    part = tmp_path / "cache" / f"{hashlib.sha256(server.body).hexdigest()}.part"
    part.parent.mkdir()
    part.write_bytes(server.body[:1234])
    assert fetch_body(downloader, server).read_bytes() == server.body
    assert server.offsets == [1234]


def test_a_wrong_beginning_is_replaced(server: RangeServer, downloader: Downloader, tmp_path: Path) -> None:
    part = tmp_path / "cache" / f"{hashlib.sha256(server.body).hexdigest()}.part"
    part.parent.mkdir()
    part.write_bytes(b"something else")
    assert fetch_body(downloader, server).read_bytes() == server.body
    assert server.offsets == [14, 0]


def test_a_cached_file_needs_no_network_but_a_spoilt_one_does(server: RangeServer, downloader: Downloader) -> None:
    path = fetch_body(downloader, server)
    fetch_body(downloader, server)
    assert server.offsets == [0]
    path.write_bytes(b"spoilt")
    assert fetch_body(downloader, server).read_bytes() == server.body


def test_a_file_with_another_hash_is_refused_and_deleted(
    server: RangeServer, downloader: Downloader, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="refused"):
        downloader.fetch("file", "ab" * 32, len(server.body))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_file_of_another_size_is_refused(server: RangeServer, downloader: Downloader, difference: int) -> None:
    with pytest.raises(FetchError, match="the index says"):
        downloader.fetch("file", hashlib.sha256(server.body).hexdigest(), len(server.body) + difference)


def test_a_hash_that_is_a_path_is_refused(downloader: Downloader) -> None:
    with pytest.raises(FetchError, match="malformed SHA-256"):
        downloader.fetch("file", "../../outside", 5)


# --- Installing ---


@pytest.fixture
def dpkg_deb() -> str:
    return program("dpkg-deb", "dpkg")


@pytest.fixture
def real_root() -> Path:
    """The unpacked packages of a build that was fetched before."""
    builds = [
        each for each in fetch_micropython.installed_builds(fetch_micropython.DEFAULT_FOLDER) if each.arch == "amd64"
    ]
    if not builds:
        missing("no other version of MicroPython was fetched: make versions")
    return builds[0].path / "root"


@pytest.mark.usefixtures("dpkg_deb")
class TestInstall:
    def test_a_package_that_does_not_start_leaves_nothing_behind(
        self, mirror: Mirror, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        binary = tmp_path / "tree" / "usr" / "bin" / "micropython"
        binary.parent.mkdir(parents=True)
        binary.write_bytes(b"not a program")
        mirror.add("micropython", tmp_path / "tree")
        mirror.publish()
        assert install(mirror, folder) == 1
        assert "micropython is not an ELF file" in capsys.readouterr().err
        assert visible(folder) == []
        assert list(folder.glob(".new-*")) == []

    def test_a_changed_package_is_refused_and_the_installed_build_stays(
        self, mirror: Mirror, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "tree").mkdir()
        deb = mirror.add("micropython", tmp_path / "tree")
        mirror.publish()
        deb.write_bytes(deb.read_bytes()[:-1] + b"x")
        before = folder / "1.25.0" / "micropython"
        before.parent.mkdir(parents=True)
        before.write_text("the build from before")
        assert install(mirror, folder) == 1
        assert "pool/micropython_1.0-1.deb has SHA-256" in capsys.readouterr().err
        assert before.read_text() == "the build from before"
        assert visible(folder) == ["1.25.0"]

    def test_a_library_of_this_machine_is_not_used(
        self, mirror: Mirror, folder: Path, real_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tree = tmp_path / "tree"
        shutil.copytree(real_root, tree, symlinks=True)
        for library in tree.rglob("libffi.so.*"):
            library.unlink()
        mirror.add("micropython", tree)
        mirror.publish()
        assert install(mirror, folder) == 1
        assert "libffi.so.8" in capsys.readouterr().err
        assert visible(folder) == []

    def test_a_build_starts_names_its_folder_and_is_fetched_once(
        self, mirror: Mirror, folder: Path, real_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tree = tmp_path / "tree"
        shutil.copytree(real_root, tree, symlinks=True)
        mirror.add("micropython", tree, version="0.0-1")
        mirror.publish()
        assert install(mirror, folder) == 0
        assert "not checked" in capsys.readouterr().err
        (build,) = fetch_micropython.installed_builds(folder)
        assert build.version == real_root.parent.name
        assert build.suites == ("trixie",)
        assert build.signature.startswith("not checked")

        moved = tmp_path / "moved here"
        shutil.copytree(folder, moved, symlinks=True)
        command = [str(moved / build.path.name / "micropython"), "-c", "import sys; print(sys.argv[1:])", "a b"]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "['a b']\n"

        shutil.rmtree(mirror.folder)
        assert install(mirror, folder) == 0
        assert install(mirror, folder, "--refresh") == 1
        assert visible(folder) == [build.path.name]


def test_list_shows_only_whole_builds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "1.25.0").mkdir(parents=True)
    (folder / "1.25.0" / "manifest.json").write_text('{"version": "1.25.0"}')
    assert fetch_micropython.main(["--list", "--json", "--folder", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == "[]"


@pytest.mark.parametrize("name", ["../etc", "Trixie", "a/b", "-"])
def test_a_suite_name_cannot_be_a_path(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch_micropython.main([name, "--folder", str(folder)]) == 2
    assert "is no suite or architecture" in capsys.readouterr().err


def test_a_mirror_that_cannot_be_reached_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["trixie", "--folder", str(folder), "--arch", "amd64", "--mirror", (folder / "nothing").as_uri()]
    assert fetch_micropython.main(arguments) == 1
    assert capsys.readouterr().err.count("\n") == 1
