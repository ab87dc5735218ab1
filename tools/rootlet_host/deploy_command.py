"""`rootlet deploy`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import board_config, catalogue
from .board.identity import require_firmware
from .board.transport import Board, BoardInfo, LinkError
from .deploy import (
    LIBRARY,
    Deployment,
    Payload,
    compile_library,
    configuration_on_board,
    deploy,
)
from .errors import HostError, UsageError
from .files import read_file
from .options import DryRunOption, JsonOption, PortOption, WaitOption, optional
from .output import count_of, print_json, remark, say
from .paths import device_root
from .progress import Bar
from .store.format import decode_store

_CONFIG = Path("rootlet.toml")
_STORE = Path(board_config.DEFAULT_STORE)
_NEXT_CYCLE, _PROMPT = "next in ", ">>> "
_BANNER_END = 'Type "help()"'
_FAILURE = "\n  ! "
_SENT = ("sent", "would send")
_WHERE = "say there where it goes"


def deploy_command(
    port: PortOption = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration, a TOML file.")
    ] = _CONFIG,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Use this as job.url; enough without a configuration.")
    ] = None,
    store: Annotated[
        list[Path] | None,
        optional(
            "--store",
            metavar="FILE",
            help=f"A trust store, in the order of `stores` in the configuration. Default: {_STORE}.",
        ),
    ] = None,
    cafile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CA certificates, for `cafile` of the configuration.")
    ] = None,
    client_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The board's certificate, for `client_cert`.")
    ] = None,
    client_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key of that certificate, for `client_key`.")
    ] = None,
    main: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own application instead of rootlet's main.py.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a boot.py or main.py that is not rootlet's.")
    ] = False,
    dry_run: DryRunOption = False,
    restart: Annotated[bool, typer.Option(help="Restart the board and show its first report.")] = True,
    wait_s: WaitOption = 90,
    as_json: JsonOption = False,
) -> None:
    """Put rootlet, its configuration and trust stores on a board.

    Only what differs is sent, and other files on the board stay as they are.

    Then it restarts, and its first report is shown.
    """
    settings = _settings(config, url)
    where = str(config) if config.exists() else "--url"
    board_config.check_kept_secrets(settings, config)
    checked = board_config.check(board_config.without_secrets(settings), where)
    stores = _store_files(checked, store)
    copies = _copies(checked, cafile, client_cert, client_key)
    application = {
        "boot.py": read_file(device_root() / "boot.py", "the program"),
        "main.py": read_file(main or device_root() / "main.py", "the program"),
    }
    with Board(port) as board:
        with Bar(quiet=as_json) as bar:
            bar.show("asking", 0, None)
            board.soft_reset()
            info = board.identify()
            require_firmware(info)
            bar.show("compiling", 0, None)
            library, note = compile_library(info.mpy_version)
        before = configuration_on_board(board) if _is_wifi(checked) or checked["psk_identity"] else None
        settings = with_generator(settings, info)
        settings, source = board_config.with_password(settings, config, before, _ask if sys.stdin.isatty() else None)
        settings, psk_source = board_config.with_psk_key(
            settings, config, before, _ask_psk if sys.stdin.isatty() else None
        )
        data = board_config.compact(settings, info.root)
        checked = board_config.check(settings, where)
        paths = _store_paths(checked, info, "stores" in settings)
        payload = Payload(library, application, data)
        _add_stores(board, payload, paths, stores)
        _add_copies(board, payload, checked, copies)
        with Bar(quiet=as_json) as bar:
            done = deploy(board, payload, replace=replace, dry_run=dry_run, progress=bar.show)
        if note:
            done.notes.insert(0, note)
        if source:
            done.notes.append(f"Wi-Fi password {source}")
        if psk_source:
            done.notes.append(f"pre-shared key {psk_source}")
        if not as_json:
            _show(done, dry_run)
        if restart and not dry_run:
            if not as_json:
                say("restarting\n")
            until = _NEXT_CYCLE if checked["job"]["period_s"] else _PROMPT
            try:
                report = board.restart(listen_s=wait_s, until=until)
            except LinkError as error:
                raise LinkError(
                    f"everything is on the board, but while it started, {error.message}",
                    remedy="check the cable; a program that resets the board takes its port away, too: give --wait 0",
                ) from error
            done.report = report if wait_s else None
    if as_json:
        print_json(_to_json(done, dry_run))
    elif done.report is not None:
        lines = done.report.removesuffix(_PROMPT).rstrip().split("\n")
        if lines[-1].strip() == _NEXT_CYCLE.strip():  # the rest of this line was not waited for
            lines.pop()
        elif lines[-1].startswith(_BANNER_END):  # the program is over: the prompt's two lines are not its own
            del lines[-2:]
        say("\n".join(lines))
    _judge(done.report, wait_s)


def _settings(config: Path, url: str | None) -> dict[str, Any]:
    if url is not None:
        board_config.check_url(url)
    if url is not None and not config.exists() and config == _CONFIG:
        return {"job": {"url": url}}
    if not config.exists() and config == _CONFIG:
        raise UsageError(
            f"there is no {config}",
            remedy='give --url https://HOST/, or write one with the lines [job] and url = "https://HOST/"',
        )
    settings = board_config.read_toml(config)
    if url is not None:
        job = settings.get("job", {})
        settings["job"] = {**job, "url": url} if isinstance(job, dict) else job
    return settings


def with_generator(settings: dict[str, Any], info: BoardInfo) -> dict[str, Any]:
    """`settings` with what the catalogue knows of the board's random number generator, unless they say it."""
    known = catalogue.load().of_machine(info.machine)
    if "rng" in settings or known is None or known.rng is None:
        return settings
    return {**settings, "rng": known.rng}


def _is_wifi(checked: dict[str, Any]) -> bool:
    return bool(checked["network"]["kind"] == "wifi")


def _ask(ssid: str) -> str:
    return str(typer.prompt(f"Password of the Wi-Fi {ssid}", hide_input=True, default="", show_default=False, err=True))


def _ask_psk(identity: str) -> str:
    return str(typer.prompt(f"Pre-shared key of {identity}, hexadecimal", hide_input=True, err=True))


def _store_files(checked: dict[str, Any], given: list[Path] | None) -> list[bytes | None]:
    """The content of each store that `stores` names; None: the one on the board is meant."""
    names = list(checked["stores"])
    files: list[Path] = list(given or [])
    if len(files) > len(names):
        raise UsageError(
            f"{len(files)} stores are given and the configuration names {len(names)}",
            remedy="name their paths on the board in `stores`",
        )
    if not files and names and _STORE.exists():
        files = [_STORE]
    found: list[bytes | None] = [read_file(path, "the store") for path in files]
    for data in found:
        if data is not None:
            decode_store(data)
    return found + [None] * (len(names) - len(found))


def _copies(
    checked: dict[str, Any], cafile: Path | None, client_cert: Path | None, client_key: Path | None
) -> dict[str, bytes | None]:
    """For each setting that names a file on the board: its content, None if it is there already."""
    for name, given in (("cafile", cafile), ("client_cert", client_cert), ("client_key", client_key)):
        if given is not None and checked[name] is None:
            raise UsageError(f"--{name.replace('_', '-')} is given and the configuration has no {name}", remedy=_WHERE)
    certificate, key = board_config.client_identity(client_cert, client_key)
    ca_certificates = None if cafile is None else read_file(cafile, "the CA certificates")
    return {"cafile": ca_certificates, "client_cert": certificate, "client_key": key}


def _store_paths(checked: dict[str, Any], info: BoardInfo, named: bool) -> list[str]:
    return list(checked["stores"]) if named or not checked["stores"] else [info.path(board_config.DEFAULT_STORE)]


def _add_stores(board: Board, payload: Payload, paths: list[str], stores: list[bytes | None]) -> None:
    for number, (path, data) in enumerate(zip(paths, stores, strict=True)):
        if data is None:
            slots = (f"{path.removesuffix('.rtlt')}.{slot}/store.rtlt" for slot in "ab")
            if all(board.hash(place) is None for place in (path, *slots)):
                raise UsageError(
                    f"{path} is not on the board and no store is given for it",
                    remedy="build one with: rootlet store build, and name it with --store",
                )
        elif number == 0 and path.endswith(".rtlt"):
            payload.store, payload.store_path = data, path
        else:
            payload.copies[path] = data


def _add_copies(board: Board, payload: Payload, checked: dict[str, Any], copies: dict[str, bytes | None]) -> None:
    for name, data in copies.items():
        path = checked[name]
        if data is not None:
            payload.copies[path] = data
        elif path is not None and board.hash(path) is None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{name} names {path}, which is not on the board", remedy=f"give the file with {option}")


def _show(done: Deployment, dry_run: bool) -> None:
    info = done.info
    machine = info.machine or info.platform
    say(f"{info.port}: MicroPython {info.version_text} on {machine}")
    changes = [file for file in done.files if file.state != "unchanged"]
    library = info.path(LIBRARY) + "/"
    for state in _SENT:  # a line for all modules: there are eighty
        sizes = [file.size for file in changes if file.state == state and file.path.startswith(library)]
        if sizes:
            say(f"  {state:12} {library}  {count_of(len(sizes), 'file')}, {sum(sizes)} bytes")
    for file in changes:
        if file.state not in _SENT or not file.path.startswith(library):
            say(f"  {file.state:12} {file.path}" + (f"  {file.size} bytes" if file.size else ""))
    if not changes:
        say("  every file is there already")
    if done.store is not None:
        text = f"sequence {done.store['sequence']} {done.store['result']} in {done.store['path']}"
        say(f"  {'store':12} {text}")
        for name, check in done.store.get("checks", {}).items():
            detail = f": {check['detail']}" if check["detail"] else ""
            say(f"    {check['state']:4} {name}{detail}")
    for note in done.notes:
        say(f"  {'note':12} {note}")
    if not dry_run:
        text = f"{len(done.files) - done.count('removed')} files checked by SHA-256, {done.sent} bytes sent"
        say(f"  {text}")


def _to_json(done: Deployment, dry_run: bool) -> dict[str, Any]:
    return {
        "board": done.info.to_json(),
        "dry_run": dry_run,
        "files": [file.to_json() for file in done.files],
        "notes": done.notes,
        "port": done.info.port,
        "report": done.report,
        "sent_bytes": done.sent,
        "store": done.store,
    }


def _judge(report: str | None, wait_s: float) -> None:
    """Raise `HostError` if the board's first report is one of failure."""
    if report is None:
        return
    if _FAILURE in "\n" + report or "Traceback (most recent call last)" in report:
        raise HostError(
            "everything is on the board, but its first report says that the job failed",
            remedy="the line that begins with ! says why; rootlet doctor looks closer",
        )
    if _NEXT_CYCLE not in report and _PROMPT not in report:
        remark(f"note: the board's report did not end within {wait_s:g} s; it runs on")
