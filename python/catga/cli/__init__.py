"""The command line; `catga --help`. Needs the extra `cli`."""

import sys


def main() -> None:
    """The entry point `catga`: says which extra is missing, where one is."""
    try:
        from catga.cli.root import commands
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich"):
            raise
        sys.stderr.write(f"catga's command line needs {missing}: pip install 'catga[cli]'\n")
        sys.exit(2)
    commands(prog_name="catga")
