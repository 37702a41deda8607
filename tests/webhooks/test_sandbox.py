"""The sandbox: an inbox that believes signatures only, and a page that only this machine sees."""

import time
from datetime import UTC, datetime

import httpx
from fastapi import FastAPI
from standardwebhooks import Webhook

from app.access.shops import Shop
from app.core.config import Settings
from app.main import create_app
from tests.conftest import Api, Rows


async def test_signed_messages_are_kept_once_and_shown_escaped(api: Api, shop: Shop, rows: Rows, app: FastAPI) -> None:
    path = f"/sandbox/inbox/{shop.id}"
    made = await api.post("/v1/webhooks", {"url": f"http://127.0.0.1:9999{path}", "kinds": ["touch.requested"]})
    body = '{"type":"touch.requested","timestamp":"x","data":{"customer_id":7,"message":"<script>alert(1)</script>"}}'
    webhook = Webhook(made.json()["secret"])

    def headers(message_id: str) -> dict[str, str]:
        moment = int(time.time())
        signature = webhook.sign(message_id, datetime.fromtimestamp(moment, UTC), body)
        return {"webhook-id": message_id, "webhook-timestamp": str(moment), "webhook-signature": signature}

    for message_id in ("m-1", "m-1", "m-2"):
        answer = await api.http.post(path, content=body, headers=headers(message_id))
        assert answer.status_code == 204, answer.text
    forged = await api.http.post(path, content=body + " ", headers=headers("m-3"))
    assert (forged.status_code, forged.json()["code"]) == (401, "signature_refused")
    elsewhere = await api.http.post(f"{path}0", content=body, headers=headers("m-3"))
    assert elsewhere.status_code == 404
    stored = await rows("select * from sandbox_messages where shop_id = $1 order by message_id", shop.id)
    assert [(row["message_id"], row["kind"]) for row in stored] == [
        ("m-1", "touch.requested"),
        ("m-2", "touch.requested"),
    ]

    shown = await api.get("/sandbox")
    assert shown.status_code == 200
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown.text
    assert "<script" not in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    afar = httpx.ASGITransport(app, client=("192.0.2.7", 1234))
    async with httpx.AsyncClient(transport=afar, base_url="http://kehu.test") as outside:
        assert (await outside.get("/sandbox")).status_code == 404


async def test_without_the_setting_there_is_no_sandbox(settings: Settings) -> None:
    plain = create_app(settings.model_copy(update={"sandbox": False}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(plain), base_url="http://kehu.test") as http:
        assert (await http.get("/sandbox")).status_code == 404
        assert (await http.post("/sandbox/inbox/1")).status_code == 404
