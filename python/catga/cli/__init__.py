"""The command line; `catga --help`. Needs the extra `cli`."""

import sys


def main() -> None:
    """The entry point `catga`: says which extra is missing, where one is."""
    try:
        from catga.cli.root import commands
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write(f"catga's command line needs {error.name}: pip install 'catga[cli]'\n")
        sys.exit(2)
    commands(prog_name="catga")
