"""A student's costs as a table for the terminal."""

from rich.console import Console
from rich.table import Table

from polydx.deploy.profile import CostReport


def print_costs(name: str, report: CostReport) -> None:
    """Print the costs of a student to standard error: standard output carries the JSON."""
    counted = report.counted
    console = Console(stderr=True)
    console.print(
        f"{name}: {counted.parameters:,} parameters, {counted.disk_bytes / 1e6:.1f} MB on disk; "
        f"a record of {counted.tokens} tokens: {counted.flops / 1e6:,.1f} MFLOPs, {counted.macs / 1e6:,.1f} MMACs",
        markup=False,
        highlight=False,
    )
    console.print(cost_table(report))


def cost_table(report: CostReport) -> Table:
    """One row a form, and one for each speed of early exits."""
    timed = "random tokens" if report.records is None else f"{report.records} records"
    title = f"{timed}, {report.threads} threads, batches of {report.batch}"
    table = Table(title=title, title_justify="left")
    table.add_column("form", no_wrap=True)
    for heading in ("work saved", "weights MB", "p50 ms", "p99 ms", "records/s", "peak memory MB"):
        table.add_column(heading, justify="right")
    for each in report.forms:
        speed = each.speed
        table.add_row(
            each.form if each.asked is None else f"{each.form} --speed {each.asked:g}",
            "" if each.saved is None else f"{each.saved:.1%}",
            f"{each.megabytes:.1f}",
            f"{speed.p50_ms:.2f}",
            f"{speed.p99_ms:.2f}",
            f"{speed.records_a_second:.1f}",
            f"{speed.peak_memory_mb:.0f}",
        )
    return table
