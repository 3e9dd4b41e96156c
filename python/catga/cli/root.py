"""The tree of commands, and how errors leave it."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import catga
from catga.cli import bench, describe, dlq, doctor, explain, run, send
from catga.cli.output import complain
from catga.cli.target import UsageError
from catga.errors import CatgaError


class Commands(TyperGroup):
    """Ends a command that raised one of our errors with that error's own text instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Exit code 2 where the command was asked wrongly, 1 where it failed."""
        try:
            return super().invoke(ctx)
        except CatgaError as error:
            complain(str(error))
            raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error


commands: typer.Typer = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"catga {catga.__version__}")
        raise typer.Exit


@commands.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Run, look into and mend Catga apps.

    APP is module:attribute, as in [bold]orders:app[/bold]; the attribute may be left out where the module has one app.
    """


RUN, LOOK, ACT = "Run", "Look", "Act"

commands.command(rich_help_panel=RUN)(run.run)
commands.command(rich_help_panel=RUN)(run.dev)
commands.command(rich_help_panel=LOOK)(describe.describe)
commands.command(rich_help_panel=LOOK)(explain.explain)
commands.command(rich_help_panel=LOOK)(doctor.doctor)
commands.command(rich_help_panel=LOOK)(bench.bench)
commands.command(rich_help_panel=ACT)(send.send)
commands.command(rich_help_panel=ACT)(send.publish)
commands.add_typer(dlq.commands, name="dlq", rich_help_panel=ACT)
