"""Contract 12.5: what the app market sends to an app's callback URL, from the command to the app that reads it."""

import asyncio
import json
import sys
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from app.access.shops import Shop
from app.core.config import Settings
from app.youzan.market import encrypted
from tests.conftest import Api
from tests.processes import environment
from tests.webhooks.receiver import Answer, receiving

# The example that the official Node and PHP SDKs publish with their `decrypt`, message as it stands in the URL.
SECRET = "def00000b1228e0f6ba8ef96be9"
PLAIN = (
    '{"appId":110,"buyerId":123456,"buyerPhone":"13800138000","env":"PROD","kdtId":160,"orderNo":"E201905060000001",'
    '"payTime":1557138032000,"price":42,"skuIntervalText":"7","skuVersionText":"试用版","status":20,"type":"APP_SUBSCRIBE"}'
)
MESSAGE = (
    "zanO3UZzEA5Fm6qKsCq6rJ70VoKdiqXDfgdqGvzOfIZ%2FVNB%2FUHuG7%2F6TxdL6NQIVkO8CFm20whTivoPj4%2B6nXLAoe9J%2BZc42nRAbkTg5G"
    "ruMl8RohxSDS0%2F99FwGtLW9TmMbxs554ZWVaRaiB5KaHF%2FNTzuLHyEtrLB2xu8Y%2BAnMN%2FVVVO9PPgO8o1BSAuvJdNXa1%2ButpG%2BRSSSMb"
    "xXrvCkRC34X7kCK1z5Xg51r%2Fym8nxrrSFn2c4R3rMRxKQAMmzRfGBkcQ9XayS31oT5DNy0h5pWzP8W5pe9naUguCiPIIAqGmBo8etlIn1Y1FHAU"
)


def decrypt(message: str, secret: str) -> str:
    """As the SDKs do it."""
    data = b64decode(message + "=" * (-len(message) % 4))
    decryptor = Cipher(AES(secret[:16].encode()), CBC(b"0102030405060708")).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    return plain[: -plain[-1]].decode()


def test_the_published_example() -> None:
    message = unquote(MESSAGE)
    assert decrypt(message, SECRET) == PLAIN
    assert encrypted(PLAIN.encode(), SECRET).rstrip("=") == message


async def kehu(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Run a command of the command line. Returns how it ended, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *arguments),
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_an_app_hears_of_its_subscription_and_then_gets_a_code(api: Api, shop: Shop, settings: Settings) -> None:
    async with receiving() as app:
        ended, out, err = await kehu(
            settings,
            *("client", "authorise", api.client.client_id, "--shop", str(shop.id)),
            *("--callback", f"{app.url}?app=1", "--subscribe"),
        )
        assert ended == 0, err
        subscribed, authorised = (parse_qs(urlsplit(message.path).query) for message in app.messages)
    told: dict[str, Any] = json.loads(decrypt(subscribed["message"][0], api.client.client_secret))
    assert (told["type"], told["status"], told["kdtId"]) == ("APP_SUBSCRIBE", 20, shop.id)
    assert subscribed["app"] == authorised["app"] == ["1"]
    assert authorised["code"] == [out.strip()]
    body = {
        "authorize_type": "authorization_code",
        "client_id": api.client.client_id,
        "client_secret": api.client.client_secret,
        "code": authorised["code"][0],
    }
    assert (await api.post("/auth/token", body)).json()["data"]["access_token"]


async def test_what_cannot_be_is_said(api: Api, shop: Shop, settings: Settings) -> None:
    mine = ("client", "authorise", api.client.client_id, "--shop", str(shop.id))
    ended, _, err = await kehu(settings, *mine, "--subscribe")
    assert ended != 0
    assert "--callback" in err
    ended, _, err = await kehu(settings, *mine, "--callback", "http://127.0.0.1:1/")
    assert ended != 0
    assert "not reached" in err
    ended, _, err = await kehu(settings, *mine, "--callback", "http://127.0.0.1:1/#here")
    assert ended != 0
    assert "#" in err
    async with receiving() as app:
        app.answer = lambda _: Answer(500)
        ended, _, err = await kehu(settings, *mine, "--callback", app.url)
    assert ended != 0
    assert "500" in err
    ended, _, err = await kehu(settings, "client", "authorise", "nobody", "--shop", str(shop.id))
    assert ended != 0
    assert "nobody" in err
