"""Arguments and options that several commands take."""

from typing import Annotated

import typer

Target = Annotated[str, typer.Argument(metavar="APP", help="The app: module:attribute, as in orders:app.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
StoreUrl = Annotated[str | None, typer.Option("--store", help="A store's URL, instead of an app: sqlite:///orders.db")]
