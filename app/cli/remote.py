"""How commands call a Kehu: where it is, with what key, and what becomes of a refusal."""

import time
from typing import Annotated, Any, Final, NoReturn

import httpx
import typer

from app.cli.console import fail, progress_bar
from app.cli.environment import demo_facts

Url = Annotated[str | None, typer.Option("--url", envvar="KEHU_URL", help="Where Kehu answers; default: the demo here")]
ApiKey = Annotated[str | None, typer.Option(envvar="KEHU_API_KEY", help="An API key; default: the demo's here")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]

POLL_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 60  # a page may count much


def place(url: str | None, api_key: str | None) -> tuple[str, str]:
    """Base URL and key: what was said, or the demo's here."""
    facts = demo_facts()
    base_url, key = url or facts.get("base_url"), api_key or facts.get("api_key")
    if not base_url or not key:
        fail("say where and with what key: --url and --api-key (or KEHU_URL and KEHU_API_KEY)", 2)
    return base_url, key


def open_client(url: str | None, api_key: str | None) -> httpx.Client:
    """A client that shows the key with every call."""
    base_url, key = place(url, api_key)
    return httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def answer(response: httpx.Response) -> Any:
    """What the server said; a refusal ends the command with one line."""
    if response.is_success:
        return response.json()
    _refused(response)


def pages(path: str, asked: dict[str, Any], url: str | None, api_key: str | None) -> list[dict[str, Any]]:
    """Everything that a list has, page by page."""
    found: list[dict[str, Any]] = []
    with open_client(url, api_key) as http:
        while True:
            page = answer(http.get(path, params=asked, timeout=_PATIENCE_SECONDS))
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            asked = asked | {"cursor": page["next_cursor"]}


def follow(http: httpx.Client, job_id: str, title: str, *, wait: bool) -> Any:
    """The job as it is; with `wait`, as it ended."""
    job = answer(http.get(f"/v1/jobs/{job_id}"))
    if wait:
        with progress_bar(title) as update:
            while job["state"] in ("queued", "running"):
                update(job["done"], job["total"])
                time.sleep(POLL_SECONDS)
                job = answer(http.get(f"/v1/jobs/{job_id}"))
            update(job["done"], job["total"])
    return job


def _refused(response: httpx.Response) -> NoReturn:
    try:
        problem = response.json()
        fail(f"{problem.get('code')}: {problem.get('detail')}")
    except ValueError:
        fail(f"the server answered {response.status_code}")
