"""MicroPython clients that others have published on PyPI, as they are.

pip cannot install most of them, because they are made for MicroPython's installer: their files are fetched and
unpacked.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .programs import missing

CACHE = Path(__file__).resolve().parents[2] / "build" / "third_party"


@dataclass(frozen=True)
class Package:
    """One file of a project, and what of it belongs onto a board."""

    project: str
    file: str
    sha256: str
    modules: tuple[str, ...]


UMQTT_SIMPLE = Package(
    "micropython-umqtt.simple",
    "micropython-umqtt.simple-1.3.4.tar.gz",
    "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f",
    ("umqtt/simple.py",),
)
UMQTT_SIMPLE2 = Package(
    "micropython-umqtt.simple2",
    "micropython-umqtt.simple2-2.2.0.tar.gz",
    "48fd4da7701b95986293b06d343fbc564ebe7dfa82f5c8c09364c20df755f0e4",
    ("umqtt/__init__.py", "umqtt/errno.py", "umqtt/simple2.py"),
)
AIOMQTTC = Package(
    "aiomqttc",
    "aiomqttc-1.0.7-py3-none-any.whl",
    "edced4a29120d00e116732eb8e1e22ac3804ff18c14981d14816f9987b2f33ea",
    ("aiomqttc.py",),
)


def unpacked(package: Package) -> Path:
    """A folder with the modules of `package`, for MICROPYPATH. `missing` where PyPI cannot be reached."""
    folder = CACHE / package.file
    if not folder.is_dir():
        try:
            content = _fetch(package)
        except Exception as error:  # of a dozen kinds: no network, no index, another file
            missing(f"{package.file} cannot be fetched from PyPI: {error}")
        temporary = CACHE / f"{package.file}.{os.getpid()}"
        for module in package.modules:
            path = temporary / module
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[module])
        try:
            temporary.rename(folder)
        except OSError:
            assert folder.is_dir(), "another process was faster"
    return folder


def _fetch(package: Package) -> dict[str, bytes]:
    """Content by name of the module."""
    from pypi_simple import PyPISimple

    with PyPISimple() as index:
        page = index.get_project_page(package.project)
        (file,) = [each for each in page.packages if each.filename == package.file]
        file.digests = {"sha256": package.sha256}
        archive = CACHE / f"{package.file}.{os.getpid()}.download"
        archive.parent.mkdir(parents=True, exist_ok=True)
        index.download_package(file, archive, verify=True)
    data = archive.read_bytes()
    archive.unlink()
    if package.file.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            return {module: wheel.read(module) for module in package.modules}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for module in package.modules:
            member = tar.extractfile(f"{package.file.removesuffix('.tar.gz')}/{module}")
            assert member is not None
            found[module] = member.read()
    return found
