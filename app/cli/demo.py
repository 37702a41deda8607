"""demo: everything on this machine, with a brand to look at."""

import shutil
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from app.cli.console import err, fail, progress_bar, say
from app.cli.environment import DATA
from app.demo.load import LoadRefused
from app.demo.show import Demo, DemoRefused, Facts, Totals
from app.embedded.errors import EmbeddedError
from app.imports.errors import ImportRefused


def demo(
    data: Annotated[Path, typer.Option(help="Where the data is kept")] = DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one")] = 8800,
    orders: Annotated[
        Path | None, typer.Option(help="Run on the orders of this CSV instead of the invented brand")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Throw the demo's data away first")] = False,
) -> None:
    """Start databases, API and worker with a demo shop, and stay up until Ctrl-C. Data is kept."""
    try:
        with Demo(data, port=port, orders=orders, reset=reset, say=say, progress=progress_bar) as running:
            _show(running.facts, running.totals(), running.as_of)
            running.stay()
    except (DemoRefused, LoadRefused, EmbeddedError, ImportRefused) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.strerror or error} ({error.filename or data})")
    except KeyboardInterrupt:
        pass
    say("stopped; the data is kept")


def _show(facts: Facts, totals: Totals, as_of: date) -> None:
    width = min(shutil.get_terminal_size().columns, 100)
    url, key, token = facts.base_url, facts.api_key, facts.access_token
    err.rule("Kehu is up", style="green")
    for line in (
        f"shop {facts.shop_id}: {totals.orders:,} orders, {totals.customers:,} customers, "
        f"{totals.amount_fen / 100:,.2f} in total; scores as of {as_of}",
        "tiers: " + ", ".join(f"{tier} {count:,}" for tier, count in totals.tiers.items()),
        "",
        f"API and its pages   {url}/docs",
        f"sandbox inbox       {url}/sandbox",
        "",
        "first calls to try:",
        "",
        f"curl -s '{url}/v1/customers?tier=vip&limit=3' -H 'Authorization: Bearer {key}'",
        "",
        f"curl -s '{url}/v1/segments?limit=3' -H 'Authorization: Bearer {key}'",
        "",
        f"curl -s '{url}/api/youzan.scrm.customer.list/1.0.0?access_token={token}' "
        "-H 'Content-Type: application/json' -d '{\"page_no\":1,\"page_size\":3}'",
        "",
        f"curl -s '{url}/v1/orders' -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
        '-d \'{"order_no":"TRY-1","identities":[{"kind":"mobile","value":"13800001111"}],'
        f'"paid_at":"{totals.try_paid_at}","amount_fen":88800}}\'',
        "",
        f"curl -s '{url}/v1/triggers/touches' -H 'Authorization: Bearer {key}' -H 'Idempotency-Key: try-1' "
        '-H \'Content-Type: application/json\' -d \'{"template":"come-back",'
        '"variables":{"discount":"8","until":"12月31日"},"audience":{"tier":"vip"}}\'   # then look at the inbox',
        "",
        f"Everything needed to connect is in {facts.path} . Ctrl-C stops.",
    ):
        err.print(line, highlight=False, markup=False, soft_wrap=True, width=width)
