"""`rootlet push`, `rootlet store list` and `rootlet store pull`."""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from ..errors import HostError, UsageError
from ..files import write_atomic
from ..options import DryRunOption, ForceOption, JsonOption, PortOption, PortsOption, StoreArgument, StorePathOption
from ..output import count_of, err, print_json, remark, say
from ..store.builder import read_store
from ..store.format import decode_store
from .link import LinkError
from .ports import NO_BOARD, attached_ports, resolve_port
from .push import Outcome, push
from .store_on_board import StoreOnBoard, pull, stores_on_board
from .transport import Board

_TICK_S = 0.2
_STOP_S = 5.0


@dataclass(frozen=True)
class _Result:
    port: str
    outcome: Outcome | None
    error: HostError | None

    def to_json(self) -> dict[str, Any]:
        if self.outcome is None:
            message, remedy = (self.error.message, self.error.remedy) if self.error else ("", "")
            return {"port": self.port, "result": "failed", "error": message, "remedy": remedy}
        outcome = self.outcome
        return {
            "port": self.port,
            "result": outcome.result,
            "path": outcome.path,
            "sequence": outcome.sequence,
            "sequence_before": outcome.sequence_before,
            "size_bytes": outcome.size,
            "sent_bytes": outcome.sent,
            "seconds": round(outcome.seconds, 3),
            "checks": {check.name: {"state": check.state, "detail": check.detail} for check in outcome.checks},
            "board": outcome.info.to_json(),
        }


def push_command(
    store: StoreArgument,
    ports: PortsOption = None,
    every: Annotated[bool, typer.Option("--all", help="Push to every attached board, all at once.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Allow a sequence that is not above the one in force, or another series.")
    ] = False,
    dry_run: DryRunOption = False,
    path: StorePathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a trust store on a board over USB.

    The store in force stays so until the new one was read back and its signature was verified on the board.
    """
    data, _ = read_store(store)
    names = _names(ports, every)
    with _Boards(names, show=not as_json) as boards:
        results = boards.run(
            lambda board, report: push(
                board, data, path=path, rollback=rollback, dry_run=dry_run, progress=lambda *done: report(*done)
            ),
            len(data),
        )
    if as_json:
        print_json([result.to_json() for result in results])
    failed = [result for result in results if result.error is not None]
    if len(results) == 1 and failed and failed[0].error is not None:
        raise failed[0].error
    if not as_json:
        for result in results:
            _show(result)
    if failed:
        raise HostError(f"{len(failed)} of {len(results)} boards have no new store", remedy="the lines above say why")


def list_command(port: PortOption = None, path: StorePathOption = None, as_json: JsonOption = False) -> None:
    """Show the trust stores on a board, and which one is in force."""
    with Board(port) as board:
        there = stores_on_board(board, path)
        name = board.port
    if as_json:
        stores = [store.to_json() for store in there.stores]
        print_json({"port": name, "path": there.path, "unsigned": there.unsigned, "stores": stores})
        return
    if not there.stores:
        raise HostError(f"there is no trust store at {there.path} on {name}", remedy="push one: rootlet push STORE")
    for store in there.stores:
        say(_describe(store))


def pull_command(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")] = Path(
        "roots.rtlt"
    ),
    port: PortOption = None,
    path: StorePathOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch the trust store in force from a board."""
    if output.exists() and not force:
        raise UsageError(f"{output} exists", remedy="name another file with --output, or give --force")
    with Board(port) as board:
        in_force = stores_on_board(board, path).in_force
        if in_force is None:
            raise HostError(f"no trust store is in force on {board.port}", remedy="push one: rootlet push STORE")
        data = pull(board, in_force)
    decode_store(data)
    write_atomic(output, data)
    if as_json:
        print_json({**in_force.to_json(), "file": str(output)})
    else:
        say(f"{output}: sequence {in_force.sequence}, {count_of(in_force.anchors, 'anchor')}")


def _names(ports: list[str] | None, every: bool) -> list[str]:
    if not every:
        chosen: list[str | None] = [*ports] if ports else [None]
        # A board may be named twice, also by a link such as those in /dev/serial/by-id.
        return list({os.path.realpath(port): port for port in map(resolve_port, chosen)}.values())
    if ports:
        raise UsageError("--all and --port exclude each other", remedy="leave one out")
    found = [port.device for port in attached_ports()]
    if not found:
        raise UsageError(NO_BOARD, remedy="plug them in, or name their ports with --port")
    return found


class _Boards:
    """Several boards at work at once, with a bar for each."""

    def __init__(self, ports: list[str], *, show: bool) -> None:
        self._ports = ports
        self._stop = threading.Event()
        self._bars: Progress | None = None
        if show and err.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TextColumn("{task.fields[phase]}"),
                console=err,
            )

    def __enter__(self) -> _Boards:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def run(self, work: Callable[[Board, Callable[[str, int, int], None]], Outcome], total: int) -> list[_Result]:
        """`work` for every board, in the order of the ports.

        Ctrl-C stops all of them at the next chunk. Who is not done then within `_STOP_S` is left alone: a board takes
        no harm from a push that ends anywhere.
        """
        # Not Thread.join: in Python 3.11, one that Ctrl-C breaks off takes the thread for ended.
        done: queue.Queue[_Result] = queue.Queue()
        for port in self._ports:
            work_on = functools.partial(self._one, port, work, total, done.put)
            threading.Thread(target=work_on, name=port, daemon=True).start()
        results: dict[str, _Result] = {}
        bars: AbstractContextManager[Any] = self._bars if self._bars is not None else nullcontext()
        with bars:
            try:
                self._collect(done, results, None)
            except KeyboardInterrupt:
                self._stop.set()
                self._collect(done, results, time.monotonic() + _STOP_S)
                raise
        return [results[port] for port in self._ports]

    def _collect(self, done: queue.Queue[_Result], results: dict[str, _Result], deadline: float | None) -> None:
        while len(results) < len(self._ports) and (deadline is None or time.monotonic() < deadline):
            with contextlib.suppress(queue.Empty):
                result = done.get(timeout=_TICK_S)
                results[result.port] = result

    def _one(
        self,
        port: str,
        work: Callable[[Board, Callable[[str, int, int], None]], Outcome],
        total: int,
        done: Callable[[_Result], None],
    ) -> None:
        bar = self._bars.add_task(port, total=total, phase="connecting") if self._bars is not None else None

        def report(phase: str, sent: int, of: int) -> None:
            if self._stop.is_set():
                raise LinkError("stopped", remedy="")
            self._update(bar, phase, sent)

        try:
            with Board(port) as board:
                outcome = work(board, report)
            self._update(bar, outcome.result, total)
            done(_Result(port, outcome, None))
        except Exception as error:
            self._update(bar, "failed", None)
            if not isinstance(error, HostError):  # a fault of ours with one board: the others go on
                error = HostError(f"unexpected {type(error).__name__}: {error}")
            done(_Result(port, None, error))

    def _update(self, bar: TaskID | None, phase: str, done: int | None) -> None:
        if self._bars is not None and bar is not None:
            self._bars.update(bar, completed=done, phase=phase)


def _show(result: _Result) -> None:
    if result.outcome is None:
        remark(f"{result.port}: {result.error}")
        return
    outcome = result.outcome
    before = "none" if outcome.sequence_before is None else str(outcome.sequence_before)
    if outcome.result == "unchanged":
        text = f"sequence {outcome.sequence} is in force already, nothing was sent"
    elif outcome.result == "pushed":
        text = f"sequence {before} -> {outcome.sequence} in {outcome.path}, {outcome.size} bytes"
        text += f" ({outcome.sent} sent) in {outcome.seconds:.2f} s, {outcome.bytes_per_second / 1000:.1f} kB/s"
    else:
        text = f"sequence {before} -> {outcome.sequence} would be pushed, {outcome.size} bytes"
    say(f"{result.port}: {text}")
    for check in outcome.checks:
        line = f"  {check.state:4} {check.name}" + (f": {check.detail}" if check.detail else "")
        say(line)


def _describe(store: StoreOnBoard) -> str:
    if store.fault:
        return f"{store.path}: {store.state}: {store.fault}"
    issued = datetime.fromtimestamp(store.issued_at, timezone.utc).strftime("%Y-%m-%d")
    signed = "signed" if store.signed else "not signed"
    series = f"series {store.series}, " if store.series else ""
    text = f"{store.path}: {store.state}, {series}sequence {store.sequence} of {issued}, "
    return text + f"{count_of(store.anchors, 'anchor')}, {store.size_bytes} bytes, {signed}, digest {store.digest[:16]}"
