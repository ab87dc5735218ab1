"""The command `rootlet demo`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from .board_config import check_url
from .demo import HOST, Interrupts, install_application, make_pki, run_board, serve
from .errors import EXIT_INTERRUPTED, HostError, UsageError
from .interpreter import find_micropython
from .options import optional
from .output import count_of, out, say
from .store.builder import BuildOptions, Contents, collect, read_store, release
from .store.format import Store
from .store.manifest import known_names, manifest, write_store
from .store.sources import MOZILLA


def demo(
    url: Annotated[
        str | None,
        optional(
            metavar="URL",
            help="Fetch this https URL from the Internet, trusting certs/roots.rtlt where that is a store of your own, "
            "else all of Mozilla's roots. Default: a server made here.",
        ),
    ] = None,
    interpreter: Annotated[
        Path | None,
        optional(
            metavar="PROGRAM",
            help="The MicroPython to run. Default: $MICROPYTHON, else the one installed with rootlet.",
        ),
    ] = None,
    every: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, max=604_800, help="Repeat until Ctrl-C. 0: once.")
    ] = 0,
) -> None:
    """Run the application as on a board: a verified GET and a report."""
    if url is not None:
        check_url(url)
    program = _program(interpreter) if interpreter is not None else find_micropython()
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rootlet-demo-")))
        job: dict[str, Any] = {"url": url, "period_s": every}
        stores = ["/certs/roots.rtlt"]
        install_application(root)
        certs = root / "certs"
        certs.mkdir()
        contents = collect(BuildOptions())
        certs.joinpath("roots.rtlt").write_bytes(_roots(contents, own=url is not None))
        if url is None:
            pki = make_pki()
            certs.joinpath("site.rtlt").write_bytes(pki.store)
            stores.append("/certs/site.rtlt")
            port = stack.enter_context(serve(pki))
            job.update(url=f"https://{HOST}:{port}/", address="127.0.0.1")
            _tell("server", f"{job['url']} on 127.0.0.1; its CA was made just now, for the board's /certs/site.rtlt")
        config = {"stores": stores, "job": job}
        root.joinpath("rootlet.json").write_text(json.dumps(config, separators=(",", ":")), encoding="utf-8")
        _tell("board", f"{_short(program)} runs boot.py, then main.py")
        say()
        status = run_board(program, root, interrupts)
    if status and url is not None and status != EXIT_INTERRUPTED:
        hint = _why_not(url)
        if hint:
            raise HostError(hint, remedy="go online, or run it without --url: that needs no network")
    if status < 0:
        raise HostError(f"{program} was ended by {_signal_name(-status)}", remedy="please report this with its output")
    raise typer.Exit(status)


def _program(path: Path) -> Path:
    found = shutil.which(str(path))
    if found is None:
        raise UsageError(f"{path} is not a program", remedy="give the path of a MicroPython Unix port")
    return Path(found)


def _short(path: Path) -> str:
    """`path` as seen from here, if it lies below."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _tell(what: str, text: str) -> None:
    out.print(f"[bold]{what:<8}[/bold]", end="")
    say(text)


def _roots(contents: Contents, own: bool) -> bytes:
    """The full Mozilla store: the one in `certs/`, which is built or renewed first unless it is the user's own. That is
    used if `own` says so."""
    folder = Path("certs")
    if not (folder.is_dir() or Path("lib/rootlet").is_dir()):  # not a repository: nothing to keep
        return contents.encode(1)
    target = folder / "roots.rtlt"
    if target.exists():
        try:
            data, store = read_store(target)
        except HostError as error:
            fault = error.message.removeprefix(f"{target}: ")
            why = f"cannot be used ({fault}; rebuild it with `rootlet store build`)"
        else:
            why = (
                "" if _is_plain_mozilla(target, store, contents) else "holds something else than all of Mozilla's roots"
            )
            if why and own:
                _tell("store", f"{target}: your own, with {count_of(len(store.anchors), 'root')}")
                return data
        if why:
            _tell("store", f"{target} {why}: left as it is, the demo uses a fresh one")
            return contents.encode(1)
    folder.mkdir(exist_ok=True)
    made = release(contents, target)
    write_store(target, made.data, manifest(made.data, made.store, contents.anchors))
    count = len(made.store.anchors)
    _tell("store", f"{target}: {count} roots of Mozilla in {len(made.data)} bytes ({made.state})")
    return made.data


def _is_plain_mozilla(path: Path, store: Store, contents: Contents) -> bool:
    """Whether `store` is what `contents` is, now or in an earlier release of Mozilla's list.

    A list changes by a few roots at a time; a store with far fewer was filtered on purpose. What is not in today's list
    was in an earlier one if the manifest beside the store at `path` says so.
    """
    known = {(anchor.index_key, anchor.key) for anchor in contents.anchors}
    kept = sum((anchor.index_key, anchor.key) in known for anchor in store.anchors)
    same_list = 10 * kept >= 9 * max(len(known), len(store.anchors))
    limits = any(anchor.dns_suffixes for anchor in store.anchors)
    if store.blocked or store.publisher is not None or store.header.not_used_after or limits or not same_list:
        return False
    if store.header.issued_at == contents.issued_at:
        return set(store.anchors) == set(contents.anchors)
    names = known_names(path)
    others = [anchor.identity for anchor in store.anchors if (anchor.index_key, anchor.key) not in known]
    ours = all(names.get((key.hex(), spki.hex()), {}).get("source") == MOZILLA for key, spki in others)
    return ours and store.header.issued_at < contents.issued_at


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _why_not(url: str) -> str:
    """What keeps this computer, too, from reaching the URL's server; "" if the board's own words are enough."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxied = any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"))
    try:
        socket.create_connection((host, parts.port or 443), timeout=5).close()
    except socket.gaierror:
        text = f"this computer cannot resolve {host} either"
    except OSError as error:
        if isinstance(error, ConnectionRefusedError) and not proxied:
            return ""  # being online is not what is missing
        text = f"this computer cannot reach {host} either ({error.strerror or error})"
    else:
        return ""
    if proxied:
        text += "; it may only do so through its proxy, which boards do not use"
    return text
