"""Standard Webhooks signatures: our two halves against each other, and against the reference package."""

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from app.webhooks.signing import BadSignature, new_secret, sign, verify

NOW = 1_772_442_900
OLD, NEW, OTHER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(3))

ids = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="."), min_size=1)
bodies = st.binary(max_size=200)


@given(message_id=ids, body=bodies, rotating=st.booleans(), drift=st.integers(-300, 300))
def test_what_we_sign_we_accept(message_id: str, body: bytes, rotating: bool, drift: int) -> None:
    assume(len(message_id) <= 255)
    headers = sign([NEW, OLD] if rotating else [NEW], message_id, NOW, body)
    assert len(headers["webhook-signature"].split(" ")) == (2 if rotating else 1)
    verify([NEW], headers, body, NOW + drift)
    verify([OTHER, NEW], {name.title(): value for name, value in headers.items()}, body, NOW + drift)


def test_during_a_rotation_either_secret_is_enough() -> None:
    headers = sign([NEW, OLD], "evt_1", NOW, b"{}")
    verify([OLD], headers, b"{}", NOW)
    verify([NEW], headers, b"{}", NOW)
    with pytest.raises(BadSignature):
        verify([OTHER], headers, b"{}", NOW)
    with pytest.raises(BadSignature):
        verify([], headers, b"{}", NOW)


def test_known_answer_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(text=st.text(max_size=100))
def test_the_reference_package_accepts_ours(text: str) -> None:
    body, secret = text.encode(), new_secret()
    Webhook(secret).verify(body, sign([OTHER, secret], "evt_1", int(time.time()), body), json_parse=False)


@given(text=st.text(max_size=100), message_id=st.uuids())
def test_we_accept_those_of_the_reference_package(text: str, message_id: object) -> None:
    secret = new_secret()
    signature = Webhook(secret).sign(str(message_id), datetime.fromtimestamp(NOW, UTC), text)
    headers = {"webhook-id": str(message_id), "webhook-timestamp": str(NOW), "webhook-signature": signature}
    verify([secret], headers, text.encode(), NOW)


HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"]


@given(name=st.sampled_from(HEADERS), position=st.integers(0, 50), char=st.characters())
@example(name="webhook-signature", position=45, char="F")  # same bytes, other spelling of the base64
def test_any_changed_character_is_refused(name: str, position: int, char: str) -> None:
    headers = sign([NEW], "evt_1", NOW, b"body")
    value = headers[name]
    changed = value[: position % len(value)] + char + value[position % len(value) + 1 :]
    assume(changed != value)
    with pytest.raises(BadSignature):
        verify([NEW], headers | {name: changed}, b"body", NOW)


@given(name=st.sampled_from(HEADERS), value=st.text() | st.text(alphabet="v1, .=AB+/", max_size=30))
def test_any_header_content_is_only_a_bad_signature(name: str, value: str) -> None:
    headers = sign([NEW], "evt_1", NOW, b"body") | {name: value}
    assume(not (name == "webhook-timestamp" and value == str(NOW)) and value != "evt_1")
    with pytest.raises(BadSignature):
        verify([NEW], headers, b"body", NOW)


@pytest.mark.parametrize("name", HEADERS)
def test_a_missing_header_is_refused(name: str) -> None:
    headers = sign([NEW], "evt_1", NOW, b"")
    del headers[name]
    with pytest.raises(BadSignature):
        verify([NEW], headers, b"", NOW)


@given(body=bodies, other=bodies)
def test_another_body_is_refused(body: bytes, other: bytes) -> None:
    assume(body != other)
    with pytest.raises(BadSignature):
        verify([NEW], sign([NEW], "evt_1", NOW, body), other, NOW)


def test_the_parts_cannot_be_cut_elsewhere() -> None:
    headers = sign([NEW], "evt_1", NOW, b"7.rest")
    moved = headers | {"webhook-id": f"evt_1.{NOW}", "webhook-timestamp": "7"}
    with pytest.raises(BadSignature):
        verify([NEW], moved, b"rest", 7)


@pytest.mark.parametrize("drift", [-301, 301, 10**6])
def test_too_old_and_too_new_are_refused(drift: int) -> None:
    headers = sign([NEW], "evt_1", NOW, b"")
    with pytest.raises(BadSignature, match="tolerance"):
        verify([NEW], headers, b"", NOW + drift)
    verify([NEW], headers, b"", NOW + drift, tolerance_seconds=10**7)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sign([], "evt_1", NOW, b""),
        lambda: sign(["secret"], "evt_1", NOW, b""),
        lambda: sign(["whsec_"], "evt_1", NOW, b""),
        lambda: sign(["whsec_c2hvcnQ="], "evt_1", NOW, b""),
        lambda: sign(["whsec_钥匙"], "evt_1", NOW, b""),
        lambda: sign([NEW.removeprefix("whsec_")], "evt_1", NOW, b""),
        lambda: sign([NEW], "", NOW, b""),
        lambda: sign([NEW], "evt.1", NOW, b""),
        lambda: sign([NEW], "evt 1\r\nx: y", NOW, b""),
        lambda: sign([NEW], "evt_1", -1, b""),
        lambda: verify(["secret"], sign([NEW], "evt_1", NOW, b""), b"", NOW),
    ],
)
def test_our_own_mistakes_are_value_errors(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"secret|message id"):
        call()


def test_new_secrets_are_32_random_bytes() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(base64.b64decode(secret.removeprefix("whsec_"))) == 32 for secret in made)
