"""Import a file of customers or orders through the public calls of a running server."""

import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.imports import client, customer_rows, order_rows
from app.imports.client import Delivery, Encoded, Patience, Progress
from app.imports.csv_source import open_csv
from app.imports.errors import ServerRefused
from app.imports.header import Layout
from app.imports.report import Report
from app.imports.rows import Outgoing, Payload, RowError
from app.imports.scratch import scratch

PATIENCE = Patience()

Reader = Callable[..., Iterator[Outgoing | RowError]]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did.

    `rows` counts the file's rows; `created`, `updated`, `unchanged` and `refused` count customers or orders, and a row
    that belongs to no order counts as refused. `checked` were good enough to send; in a dry run the first three stay 0.
    `report_path` is None when nothing was refused. `unknown_columns` names what was ignored, as the file spells it.
    """

    rows: int
    created: int
    updated: int
    unchanged: int
    refused: int
    seconds: float
    report_path: Path | None
    checked: int = 0
    unknown_columns: tuple[str, ...] = ()


async def import_customers(
    path: Path | str,
    *,
    base_url: str,
    api_key: str,
    source: str = "import",
    on_progress: Progress | None = None,
    dry_run: bool = False,
    report_path: Path | None = None,
    in_flight: int = 2,
    patience: Patience = PATIENCE,
) -> ImportResult:
    """Create or update a customer per row; `customer_rows.HELP` tells its columns. The same file twice changes nothing.

    Args:
        source: the system whose numbers the `external_id` column holds; it becomes their scope.
        on_progress: called with (done, refused), both counted from the start, after each batch.
        dry_run: check the file and the key, send nothing.
        report_path: where refused rows go; by default beside the file, as `NAME.refused.csv`.
    Raises: FileRefused, ServerRefused. What was sent before stays, and a rerun is safe.
    """
    job = _Job("customers", Path(path), customer_rows.LAYOUT, customer_rows.read_customers, source, report_path)
    return await _run(job, base_url, api_key, on_progress, dry_run, in_flight, patience)


async def import_orders(
    path: Path | str,
    *,
    base_url: str,
    api_key: str,
    source: str = "import",
    on_progress: Progress | None = None,
    dry_run: bool = False,
    report_path: Path | None = None,
    in_flight: int = 2,
    patience: Patience = PATIENCE,
) -> ImportResult:
    """Create or update an order per order number; `order_rows.HELP` tells the rules. Else as `import_customers`."""
    job = _Job("orders", Path(path), order_rows.LAYOUT, order_rows.read_orders, source, report_path)
    return await _run(job, base_url, api_key, on_progress, dry_run, in_flight, patience)


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    path: Path
    layout: Layout
    reader: Reader
    source: str
    report_path: Path | None


async def _run(
    job: _Job,
    base_url: str,
    api_key: str,
    on_progress: Progress | None,
    dry_run: bool,
    in_flight: int,
    patience: Patience,
) -> ImportResult:
    started = time.monotonic()
    checked = 0
    async with AsyncExitStack() as stack:
        file = stack.enter_context(open_csv(job.path, job.layout))
        memory = stack.enter_context(scratch())
        report = stack.enter_context(Report(job.report_path or job.path.with_name(f"{job.path.stem}.refused.csv")))
        http = await stack.enter_async_context(client.connect(base_url, api_key))
        zone = _zone(await client.shop(http, patience))
        delivery = Delivery(http, job.name, report.add, patience)
        tally = delivery.tally

        async def send(batch: list[Encoded]) -> None:
            nonlocal checked
            checked += len(batch)
            if not dry_run:
                await delivery.send(batch)

        def progress() -> None:
            if on_progress:
                on_progress((checked if dry_run else tally.accepted) + report.count, report.count)

        records = job.reader(file.rows, memory, source=job.source, zone=zone)
        await client.deliver(client.batches(records, report.add), send, in_flight=in_flight, progress=progress)
        progress()
        seconds = time.monotonic() - started
        return ImportResult(
            file.rows_read, tally.created, tally.updated, tally.unchanged, report.count, seconds, report.path,
            checked, file.header.unknown,
        )  # fmt: skip


def _zone(shop: Payload) -> ZoneInfo:
    try:
        return ZoneInfo(shop["timezone"])
    except (ZoneInfoNotFoundError, ValueError, TypeError):
        raise ServerRefused(f"The shop's time zone {shop['timezone']!r} is not known here") from None
