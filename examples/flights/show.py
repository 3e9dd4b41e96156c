"""What the runs print."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from flights.account import Account

console = Console()


def progress() -> Progress:
    """A bar with rate and latencies; plain lines where there is no terminal."""
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(30),
        TextColumn(
            "{task.completed:>9,.0f} / {task.total:,.0f}  {task.fields[rate]:>7,.0f}/s  p50 {task.fields[p50]} ms  p99 {task.fields[p99]} ms"
        ),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def advance(bar: Progress, task: TaskID, completed: int, seconds: float, statistics: dict[str, int]) -> None:
    """Moves the bar."""
    bar.update(
        task,
        completed=completed,
        rate=completed / max(seconds, 1e-9),
        p50=statistics["latency_p50_ms"],
        p99=statistics["latency_p99_ms"],
    )


def report(result: Account) -> int:
    """The accounting and the table; the exit status."""
    counts = Table(title="accounting", show_header=False)
    for name in ("attempted", "acknowledged", "handled", "redelivered"):
        counts.add_row(name, f"{getattr(result, name):,}")
    for name, value in (
        ("repeated effects", result.repeated),
        ("lost", result.lost),
        ("dead-lettered", result.dead),
        ("cancellations", result.cancellations),
    ):
        counts.add_row(name, f"{value:,}", style="red" if value and name != "cancellations" else "")
    console.print(counts)
    table = Table("carrier", "on time", "delayed", "minutes", "cancelled", "the file says", title="per carrier")
    for carrier, expected in sorted(result.expected.items()):
        found = result.figures.get(carrier, (0, 0, 0, 0))
        same = "the same" if found == expected else ", ".join(f"{value:,}" for value in expected)
        table.add_row(carrier, *(f"{value:,}" for value in found), same, style="" if found == expected else "red")
    console.print(table)
    for mistake in result.mistakes:
        console.print(f"[red]wrong: {mistake}[/red]")
    if not result.mistakes:
        console.print("[green]all of it adds up: the same figures as straight from the file[/green]")
    return 1 if result.mistakes else 0
