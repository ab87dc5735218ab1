"""All commands of `rootlet`, in the order in which the help shows them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import __version__
from .board.push_commands import list_command, pull_command, push_command
from .board.virtual_command import virtual
from .ca_commands import app as ca_app
from .catalogue_commands import boards
from .certs_commands import app as certs_app
from .demo_command import demo
from .deploy_command import deploy_command
from .doctor.command import doctor_command
from .explain.command import CONTEXT_SETTINGS as EXPLAIN_SETTINGS
from .explain.command import explain
from .firmware.commands import app as firmware_app
from .flash.commands import flash
from .keys_command import app as keys_app
from .options import Commands, Group
from .pin_command import pin
from .provision_command import provision
from .publish_command import publish
from .store.commands import app as store_app
from .trace_command import app as trace_app

_BOARDS, _STORES, _CERTIFICATES, _REST = "Boards", "Trust stores", "Certificates and keys", "Trying and understanding"


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"rootlet {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something fails. May stand anywhere.")
    ] = False,
) -> None:
    """Options that come before the command. `--debug` is looked at in `cli.main`."""


class _InOrder(Group):
    """typer would show groups behind the other commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for _, name, _ in COMMANDS]


app = Commands(
    "rootlet",
    "Verified TLS for MicroPython boards: flash and examine them, build and push their trust stores.\n\n"
    "To begin without a board: rootlet demo, rootlet virtual.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or environment, 130 interrupted.",
    callback=_options,
    cls=_InOrder,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

store_app.command("list")(list_command)
store_app.command("pull")(pull_command)

# (panel of the help, name, function or group)
COMMANDS: list[tuple[str, str, Any]] = [
    (_BOARDS, "boards", boards),
    (_BOARDS, "firmware", firmware_app),
    (_BOARDS, "flash", flash),
    (_BOARDS, "deploy", deploy_command),
    (_BOARDS, "provision", provision),
    (_BOARDS, "push", push_command),
    (_BOARDS, "doctor", doctor_command),
    (_BOARDS, "virtual", virtual),
    (_STORES, "store", store_app),
    (_STORES, "keys", keys_app),
    (_STORES, "publish", publish),
    (_CERTIFICATES, "ca", ca_app),
    (_CERTIFICATES, "certs", certs_app),
    (_CERTIFICATES, "pin", pin),
    (_REST, "demo", demo),
    (_REST, "explain", explain),
    (_REST, "trace", trace_app),
]
for _panel, _name, _command in COMMANDS:
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, rich_help_panel=_panel)
    else:
        app.command(_name, rich_help_panel=_panel, context_settings=EXPLAIN_SETTINGS if _command is explain else None)(
            _command
        )
