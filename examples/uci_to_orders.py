"""Turn the lines of the UCI "Online Retail" data set into an order file that `kehu import orders` takes.

    python examples/uci_to_orders.py lines.csv.gz orders.csv

The lines are the data set's only sheet saved as CSV, plain or gzipped, with the columns invoice_no, line_no,
stock_code, description, quantity, invoice_time, unit_price, customer_id and country. Source: Chen, D. (2015), Online
Retail, UCI Machine Learning Repository, https://doi.org/10.24432/C5BW33, licence CC BY 4.0.

Only complete lines are kept: not a cancellation (an invoice number starting with C), with a customer, and with a
quantity and a unit price above zero. The file keeps one row per line and has no amount column: the importer adds up
quantity x unit price over each invoice and rounds once, half up, to hundredths. Needs nothing but Python.
"""

import argparse
import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TextIO

NEEDED = ("invoice_no", "stock_code", "description", "quantity", "invoice_time", "unit_price", "customer_id")
HEADER = ("order_no", "external_id", "paid_at", "sku", "name", "quantity", "unit_price")


@dataclass(frozen=True)
class Totals:
    """What the written file holds; `hundredths` is what the importer's amounts will add up to."""

    lines: int
    orders: int
    customers: int
    hundredths: int


def convert(source: Iterable[Mapping[str, str]], target: TextIO) -> Totals:
    """Write the complete lines of `source` as an order file. Raises ValueError for a number that is none."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(HEADER)
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    customers: set[str] = set()
    lines = 0
    for line in complete(source):
        order_no, customer = line["invoice_no"], line["customer_id"]
        quantity, price = line["quantity"], line["unit_price"]
        writer.writerow(
            (order_no, customer, line["invoice_time"], line["stock_code"], line["description"], quantity, price)
        )
        amounts[order_no] += int(quantity) * Decimal(price)
        customers.add(customer)
        lines += 1
    hundredths = sum(int((amount * 100).quantize(Decimal(1), ROUND_HALF_UP)) for amount in amounts.values())
    return Totals(lines, len(amounts), len(customers), hundredths)


def complete(source: Iterable[Mapping[str, str]]) -> Iterator[Mapping[str, str]]:
    """The lines that are part of a finished order of a known customer."""
    for line in source:
        if line["invoice_no"].startswith("C") or not line["customer_id"]:
            continue
        if int(line["quantity"]) > 0 and Decimal(line["unit_price"]) > 0:
            yield line


def open_lines(path: Path) -> TextIO:
    """The file as text, gzipped or not: its first two bytes tell."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lines", type=Path, help="the data set's lines, .csv or .csv.gz")
    parser.add_argument("orders", type=Path, help="the order file to write")
    paths = parser.parse_args(arguments)
    try:
        with open_lines(paths.lines) as source, paths.orders.open("w", encoding="utf-8", newline="") as target:
            reader = csv.DictReader(source)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{paths.lines} has no column {', '.join(missing)}")
            totals = convert(reader, target)
    except (OSError, ValueError, ArithmeticError, EOFError) as exc:
        sys.stderr.write(f"uci_to_orders: {exc}\n")
        return 1
    amount = f"{totals.hundredths // 100:,}.{totals.hundredths % 100:02}"
    sys.stdout.write(
        f"{totals.lines:,} lines, {totals.orders:,} orders, {totals.customers:,} customers, {amount} in total\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
