"""The command `rootlet`: collects the commands of the other modules and turns errors into one line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from . import __version__
from .board.push_commands import list_command, pull_command, push_command
from .board.virtual_command import virtual
from .ca_commands import app as ca_app
from .catalogue_commands import boards
from .certs_commands import app as certs_app
from .demo import demo
from .deploy_command import deploy_command
from .doctor.command import doctor_command
from .errors import EXIT_INTERRUPTED, HostError
from .explain.command import CONTEXT_SETTINGS as EXPLAIN_SETTINGS
from .explain.command import explain
from .firmware.commands import app as firmware_app
from .flash.commands import flash
from .keys import app as keys_app
from .output import err
from .pin import pin
from .provision_command import provision
from .publish import publish
from .store.commands import app as store_app
from .trace_view import app as trace_app

app = typer.Typer(
    name="rootlet",
    help="Verified TLS for MicroPython boards: build trust stores, flash and examine boards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

store_app.command("list")(list_command)
store_app.command("pull")(pull_command)
app.add_typer(store_app)
app.add_typer(keys_app)
app.add_typer(certs_app)
app.add_typer(ca_app)
app.add_typer(firmware_app)
app.add_typer(trace_app)
app.command()(boards)
app.command()(flash)
app.command()(demo)
app.command(context_settings=EXPLAIN_SETTINGS)(explain)
app.command()(virtual)
app.command("push")(push_command)
app.command("deploy")(deploy_command)
app.command("doctor")(doctor_command)
app.command()(publish)
app.command()(pin)
app.command()(provision)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"rootlet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Entry point: exit codes 0 done, 1 failed, 2 wrong usage or environment, 130 interrupted."""
    debug = "--debug" in sys.argv[1:]
    try:
        sys.exit(app(standalone_mode=False))
    except HostError as error:
        if debug:
            raise
        _complain(error.message, error.remedy)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted", "")
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        # Wrong usage: typer's own click classes are private and moved between its versions, so they are
        # recognised by what they offer.
        if not hasattr(error, "format_message") or not hasattr(error, "exit_code"):
            raise
        if message := error.format_message().strip():
            _complain(message, f"see {_command_path()} --help")
        sys.exit(error.exit_code)


def _complain(message: str, remedy: str) -> None:
    line = f"rootlet: {message}" + (f" ({remedy})" if remedy else "")
    err.print(line, markup=False, soft_wrap=True)


def _command_path() -> str:
    """`rootlet` and the command words that were typed, up to the first option."""
    words = ["rootlet"]
    for word in sys.argv[1:]:
        if word.startswith("-"):
            break
        words.append(word)
    return " ".join(words[:3])
