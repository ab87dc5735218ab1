"""The packages of the device library: nothing is missing from one, their lists are up to date, and so is the index."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rootlet_host import __version__
from rootlet_host.errors import HostError
from support.programs import built

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

import fetch_manifestfile  # noqa: E402
import packages as tool  # noqa: E402
from debian_archive import FetchError  # noqa: E402


@pytest.fixture(scope="module")
def packages() -> tool.Packages:
    return tool.Packages.load()


@pytest.fixture(scope="module")
def index(packages: tool.Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index") / "mip"
    tool.build_index(packages, folder)
    return folder


def package(**entries: Any) -> tool.Packages:
    return tool.Packages({name: {"summary": "", **entry} for name, entry in entries.items()})


def library(tmp_path: Path, **modules: str) -> Path:
    for name, source in modules.items():
        path = tmp_path / "rootlet" / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return tmp_path


def test_every_module_is_in_one_package_and_finds_there_what_it_imports(packages: tool.Packages) -> None:
    assert tool.problems(packages) == []


def test_main_and_boot_find_their_imports_in_the_package_of_the_application(packages: tool.Packages) -> None:
    files = tool.module_files()
    there = packages.modules("app")
    for program in ("boot.py", "main.py"):
        found = tool.imports(program, REPOSITORY / program, files)
        assert found
        lacking = {each.imported for each in found if each.imported in files and each.imported not in there}
        # Of rootlet-http and rootlet-modem, for a board that has the one or the other.
        assert lacking <= {"web.proxy", "modem.configured"}


def test_every_name_of_the_package_itself_leads_to_a_module(packages: tool.Packages) -> None:
    tree = ast.parse((REPOSITORY / "lib/rootlet/__init__.py").read_text())
    (homes,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME"
    )
    files = tool.module_files()
    core = packages.modules("core")
    assert {name for name, module in homes.items() if module not in core} == {"open_connection", "upgrade"}
    for name, module in homes.items():
        defined = {getattr(node, "name", "") for node in ast.parse(files[module].read_text()).body}
        assert name in defined


def test_lists_for_mip_are_up_to_date(packages: tool.Packages) -> None:
    assert tool.stale_lists(packages) == [], "run tools/dev/packages.py write"


def test_the_table_in_the_documentation_is_up_to_date(packages: tool.Packages) -> None:
    assert tool.table(packages) in tool.PAGE.read_text("utf-8"), "run tools/dev/packages.py write"


def test_a_module_that_nobody_lists_is_reported(tmp_path: Path) -> None:
    folder = library(tmp_path, __init__="", a="", b="")
    assert tool.problems(package(core={"modules": ["__init__", "a"]}), folder) == [
        "b belongs to no package: lib/packages.toml must name one"
    ]


def test_a_module_of_two_packages_is_reported(tmp_path: Path) -> None:
    folder = library(tmp_path, __init__="", a="")
    two = package(core={"modules": ["__init__", "a"]}, more={"modules": ["a"]})
    assert tool.problems(two, folder) == ["a belongs to core and more: lib/packages.toml must name one"]


def test_a_module_that_is_gone_and_a_package_that_is_not_there_are_reported(tmp_path: Path) -> None:
    folder = library(tmp_path, __init__="")
    assert tool.problems(package(core={"modules": ["__init__", "a"]}), folder) == ["core lists a, which does not exist"]
    lost = package(core={"modules": ["__init__"]}, more={"modules": [], "requires": ["lost"]})
    assert tool.problems(lost, folder) == ["more requires lost, which does not exist"]


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("from .b import x", "cannot be imported without"),
        ("from . import b", "cannot be imported without"),
        ("import rootlet.b", "cannot be imported without"),
        ("from rootlet.b import x", "cannot be imported without"),
        ("try:\n    from .b import x\nexcept ImportError:\n    pass", "cannot be imported without"),
        ("def f():\n    from .b import x", "imports"),
        ("class C:\n    def f(self):\n        from rootlet import b", "imports"),
    ],
)
def test_an_import_that_leads_out_of_its_package_is_reported(statement: str, how: str, tmp_path: Path) -> None:
    folder = library(tmp_path, __init__="", a=statement, b="")
    apart = package(core={"modules": ["__init__", "a"]}, more={"modules": ["b"]})
    (line,) = tool.problems(apart, folder)
    assert line.startswith("core: a, line ")
    assert how in line and " b, which is not in it" in line


def test_imports_inside_a_package_of_the_library_are_resolved_from_where_they_stand(tmp_path: Path) -> None:
    folder = library(
        tmp_path,
        __init__="",
        b="",
        p__in____init__="from . import c",
        p__in__c="from ..b import x\nfrom .d import y",
        p__in__d="",
    )
    files = tool.module_files(folder)
    assert sorted(files) == ["__init__", "b", "p", "p.c", "p.d"]
    assert [each.imported for each in tool.imports("p.c", files["p.c"], files)] == ["b", "p.d"]
    assert [each.imported for each in tool.imports("p", files["p"], files)] == ["p.c"]


def test_only_an_import_in_a_function_can_be_optional_and_it_must_be_there(tmp_path: Path) -> None:
    folder = library(tmp_path, __init__="", a="def f():\n    from .b import x", b="")
    optional = {"b": "sometimes"}
    apart = package(core={"modules": ["__init__", "a"], "optional": optional}, more={"modules": ["b"]})
    assert tool.problems(apart, folder) == []
    (folder / "rootlet/a.py").write_text("from .b import x")
    assert len(tool.problems(apart, folder)) == 2
    (folder / "rootlet/a.py").write_text("")
    assert tool.problems(apart, folder) == ["core calls b optional, which it never imports"]


def test_a_list_that_was_changed_or_is_left_over_is_stale(tmp_path: Path) -> None:
    folder = library(tmp_path, __init__="", a="")
    both = package(core={"modules": ["__init__"]}, more={"modules": ["a"]})
    tool.write_lists(both, folder)
    assert tool.stale_lists(both, folder) == []
    assert json.loads((folder / "rootlet-more.json").read_text())["urls"] == [
        ["rootlet/__init__.py"] * 2,
        ["rootlet/a.py"] * 2,
    ]
    (folder / "rootlet-more.json").write_text("{}")
    (folder / "rootlet-gone.json").write_text("{}")
    assert tool.stale_lists(both, folder) == ["rootlet-gone.json", "rootlet-more.json"]
    tool.write_lists(both, folder)
    assert tool.stale_lists(both, folder) == []


def test_every_file_of_the_index_is_named_by_its_own_hash(index: Path) -> None:
    files = [path for path in (index / "file").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.name)
        assert path.parent.name == path.name[:2]


@pytest.mark.parametrize("variant", ["py", "6"])
def test_the_index_offers_every_package_as_source_and_compiled(
    variant: str, index: Path, packages: tool.Packages
) -> None:
    for each in packages.values():
        folder = index / "package" / variant / each.installed_as
        latest = json.loads((folder / "latest.json").read_text())
        assert latest == json.loads((folder / f"{__version__}.json").read_text())
        assert len(latest["hashes"]) == len(each.modules)
        assert {Path(path).suffix for path, _ in latest["hashes"]} == {".py" if variant == "py" else ".mpy"}
        for _, digest in latest["hashes"]:
            assert (index / "file" / digest[:2] / digest).is_file()
        for name, version in latest["deps"]:
            assert (folder.parent / name / f"{version}.json").is_file()


def test_the_index_is_the_same_whenever_it_is_made(index: Path, packages: tool.Packages, tmp_path: Path) -> None:
    tool.build_index(packages, tmp_path / "again")

    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert content(index) == content(tmp_path / "again")


def test_an_index_is_replaced_and_another_folder_is_left_alone(packages: tool.Packages, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("keep")
    with pytest.raises(HostError, match="not an index"):
        tool.build_index(packages, tmp_path / "mine")
    assert (tmp_path / "mine" / "note.txt").read_text() == "keep"
    tool.build_index(packages, tmp_path / "index")
    (tmp_path / "index" / "package" / "stale").mkdir()
    tool.build_index(packages, tmp_path / "index")
    assert not (tmp_path / "index" / "package" / "stale").exists()


def test_the_command_checks_and_names_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert tool.main(["check"]) == 0
    monkeypatch.setattr(tool, "stale_lists", lambda packages: ["rootlet-http.json"])
    assert tool.main(["check"]) == 1
    assert "rootlet-http.json is out of date: run" in capsys.readouterr().err
    monkeypatch.setattr(tool, "problems", lambda packages: ["something is missing"])
    assert tool.main(["write"]) == 1
    assert capsys.readouterr().err == "packages: something is missing\n"


# The manifest for freezing, read by MicroPython's own program.


@pytest.fixture(scope="module")
def manifestfile() -> Any:
    path = built(REPOSITORY / "build" / "micropython" / "manifestfile.py", "versions")
    spec = importlib.util.spec_from_file_location("manifestfile", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_program_that_reads_manifests_is_fetched_once_and_refused_if_it_is_another(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    tarball = mirror / fetch_manifestfile.TARBALL
    tarball.parent.mkdir(parents=True)
    tarball.write_bytes(bytes(fetch_manifestfile.SIZE_BYTES))
    with pytest.raises(FetchError, match="refused"):
        fetch_manifestfile.fetch(tmp_path / "build", mirror.as_uri())
    assert not (tmp_path / "build" / "manifestfile.py").exists()
    (tmp_path / "build" / "manifestfile.py").write_text("there already")
    assert fetch_manifestfile.fetch(tmp_path / "build", "file:///nowhere").read_text() == "there already"


def frozen(manifestfile: Any, tmp_path: Path, manifest: Path) -> tuple[set[str], Any]:
    """What a manifest freezes of rootlet, and its metadata, for a port that freezes a module of its own."""
    port = tmp_path / "port"
    (port / "boards").mkdir(parents=True)
    (port / "boards" / "manifest.py").write_text('module("of_the_port.py")\n')
    (port / "boards" / "of_the_port.py").write_text("")
    found = manifestfile.ManifestFile(manifestfile.MODE_FREEZE, {"PORT_DIR": str(port), "MPY_LIB_DIR": ""})
    found.execute(str(manifest))
    paths = {each.target_path for each in found.files()}
    assert "of_the_port.py" in paths
    for each in found.files():
        assert Path(each.full_path).is_file()
    return {path for path in paths if path.startswith("rootlet/")}, found.metadata()


def paths_of(modules: set[str]) -> set[str]:
    files = tool.module_files()
    return {files[name].relative_to(tool.LIBRARY).as_posix() for name in modules}


def test_the_manifest_freezes_everything_and_states_the_version(manifestfile: Any, tmp_path: Path) -> None:
    paths, metadata = frozen(manifestfile, tmp_path, REPOSITORY / "firmware" / "manifest.py")
    assert paths == paths_of(set(tool.module_files()))
    assert metadata.version == __version__


def test_a_manifest_that_names_packages_freezes_these_and_what_they_need(
    manifestfile: Any, packages: tool.Packages, tmp_path: Path
) -> None:
    mine = tmp_path / "manifest.py"
    whole = REPOSITORY / "firmware" / "manifest.py"
    mine.write_text(f'include("{whole}", packages=("rootlet-trace", "rootlet-asyncio"))\n')
    paths, _ = frozen(manifestfile, tmp_path, mine)
    assert paths == paths_of(packages.modules("trace") | packages.modules("asyncio"))
    assert "rootlet/dtls.py" not in paths and "rootlet/pins.py" in paths


def test_a_manifest_that_names_no_such_package_fails(manifestfile: Any, tmp_path: Path) -> None:
    mine = tmp_path / "manifest.py"
    mine.write_text(f'include("{REPOSITORY / "firmware" / "manifest.py"}", packages=("rootlet-tls",))\n')
    with pytest.raises(Exception, match=r"rootlet-tls\.json"):
        frozen(manifestfile, tmp_path, mine)
