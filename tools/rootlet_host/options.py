"""The options that several commands share, so that they are called the same everywhere and explained the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

_Function = TypeVar("_Function", bound=Callable[..., Any])
PORT_FORMS = "A path, id:SERIAL or VID:PID"


def _without_flag_types(parameters: list[Any]) -> list[Any]:
    """An option without a value has no type to show; newer versions of typer show <bool>."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """An option without its value does not say which command it was for, and the message would name no help."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_flag_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The arguments as they are named here: typer would put braces and second brackets around them."""
        arguments = [p.metavar for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return [self.options_metavar or "", *arguments]


class Group(TyperGroup):
    """The commands below a word."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_flag_types(super().get_params(ctx))


def _nothing() -> None:
    """With a callback, a group of a single command stays a group."""


class Commands(typer.Typer):
    """A group of commands that prints its help when none is named."""

    def __init__(
        self,
        name: str,
        summary: str,
        *,
        callback: Callable[..., Any] = _nothing,
        cls: type[Group] = Group,
        **options: Any,
    ) -> None:
        super().__init__(name=name, help=summary, cls=cls, callback=callback, no_args_is_help=True, **options)

    def command(self, *names: Any, **options: Any) -> Callable[[_Function], _Function]:
        """As typer's."""
        return super().command(*names, **{"cls": _Command, **options})


def optional(*names: str, metavar: str, help: str, **more: Any) -> Any:
    """A typer.Option that may be left out: what happens then stands in `help`, and no default value is shown."""
    return typer.Option(*names, metavar=metavar, help=help, show_default=False, **more)


def _board_ids() -> list[str]:
    from .catalogue import load

    return list(load().boards)


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PortOption = Annotated[
    str | None, optional("--port", "-p", metavar="PORT", help=f"{PORT_FORMS}. Default: the only board.")
]
PortsOption = Annotated[
    list[str] | None,
    optional(
        "--port", "-p", metavar="PORT", help=f"{PORT_FORMS}. Default: the only board. May be given several times."
    ),
]
BoardArgument = Annotated[
    str, typer.Argument(metavar="BOARD", help="A board of the catalogue (rootlet boards).", autocompletion=_board_ids)
]
OptionalBoardArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[BOARD]", help="Show everything about this board.", show_default=False, autocompletion=_board_ids
    ),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        max=600,
        help="How long to wait for what the board says afterwards. 0: not at all.",
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that exist, keys included.")]
DirectoryOption = Annotated[Path, typer.Option("--directory", "-d", metavar="DIR", help="Where to write the files.")]
NoPassphraseOption = Annotated[
    bool, typer.Option("--no-passphrase", help="Leave the key unencrypted; only file permissions protect it.")
]
StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="The trust store, like roots.rtlt.")]
StorePathOption = Annotated[
    str | None,
    optional("--path", metavar="PATH", help="The store's path on the board. Default: what its configuration says."),
]
SourcesOption = Annotated[
    list[str] | None,
    optional(
        "--source",
        metavar="SOURCE",
        help="Where to look for a server's root: mozilla (the default), a PEM or DER file, a folder, or certdata.txt. "
        "May be given several times.",
    ),
]
CaKeyOption = Annotated[Path | None, optional("--ca-key", metavar="FILE", help="The CA's key. Default: CA.key.")]
