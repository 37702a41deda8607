"""Ten thousand messages that are almost what was signed: none is accepted, none raises anything but BadSignature."""

import base64
import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from app.webhooks.signing import PREFIX, BadSignature, sign, verify

NOW = 1_772_442_900
SECRET, OTHER = (PREFIX + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
BODY = b'{"type":"touch.requested","timestamp":"2026-03-02T09:15:00Z","data":{"customer_id":7}}'
ID, TIME, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
ODD = "\0\t\n\r \x7f\x85\u00a0\u200b\u0661１é王\ud800\U0001f600.,=+/v1" + string.ascii_letters


@dataclass(frozen=True)
class Message:
    """What a receiver holds."""

    headers: Mapping[str, str]
    body: bytes = BODY
    secrets: tuple[str, ...] = (SECRET,)
    now: float = NOW

    def with_header(self, name: str, value: str) -> "Message":
        """The same, but for one header."""
        return replace(self, headers={**self.headers, name: value})

    def verify(self) -> None:
        """Raises BadSignature."""
        verify(self.secrets, self.headers, self.body, self.now)


GOOD = Message(sign([SECRET], "evt_01a1ffe8", NOW, BODY))
Mutation = Callable[[random.Random, Message], Message]


def _body(chance: random.Random, message: Message) -> Message:
    place, more = chance.randrange(len(message.body)), chance.randbytes(chance.randrange(1, 4))
    body = message.body
    return replace(
        message,
        body=chance.choice(
            [
                body[:place] + bytes([body[place] ^ 1 << chance.randrange(8)]) + body[place + 1 :],
                body[:place],
                body[place:] + body[:place] if place else body + b" ",
                body[:place] + more + body[place:],
                body + more,
                more + body,
                body.upper(),
                body.decode("latin-1").encode("utf-16"),
                b"",
            ]
        ),
    )


def _header(chance: random.Random, message: Message) -> Message:
    name = chance.choice([ID, TIME, SIGNATURE])
    value = message.headers[name]
    place, odd = chance.randrange(len(value)), chance.choice(ODD)
    changed = [
        value[:place] + odd + value[place + 1 :],
        value[:place] + odd + value[place:],
        value[:place] + value[place + 1 :],
        value[:place],
        value[place:],
        value + odd,
        odd + value,
        value.swapcase(),
        value[::-1],
        value * 2,
        value + value[-1] * chance.randrange(1, 5_000),
        odd * chance.randrange(300),
        message.headers[chance.choice([ID, TIME, SIGNATURE])],
        "",
    ]
    return message.with_header(name, chance.choice(changed))


def _time(chance: random.Random, message: Message) -> Message:
    shift = chance.choice([-1, 1, 301, -301, 10**9, chance.randrange(-10_000, 10_000)])
    spelling = [f"{NOW + shift}", f"0{NOW}", f"+{NOW}", f" {NOW}", f"{NOW}.0", f"{NOW}e0", f"{NOW:x}", f"-{NOW}"]
    spelling += ["9" * chance.randrange(1, 5_000), "NaN", "inf", "".join(chr(0xFF10 + int(d)) for d in str(NOW))]
    return message.with_header(TIME, chance.choice(spelling))


def _late(chance: random.Random, message: Message) -> Message:
    away = chance.choice([300.5, 301, 3_600, 1e9, 1e300, float("inf")])
    return replace(message, now=NOW + chance.choice([-1, 1]) * away)


def _signature(chance: random.Random, message: Message) -> Message:
    value = message.headers[SIGNATURE]
    digest = base64.b64decode(value.removeprefix("v1,"))
    forged = [
        *(f"v2,{value[3:]}", f"V1,{value[3:]}", f"v1a,{value[3:]}", value[3:], f"v1{value[3:]}", f"v1, {value[3:]}"),
        *(f"v1,{digest.hex()}", f"v1,{value[3:].rstrip('=')}", f"v1,{base64.urlsafe_b64encode(digest).decode()}_"),
        f"v1,{base64.b64encode(digest[: chance.randrange(31)]).decode()}",
        f"v1,{base64.b64encode(bytes(32)).decode()}",
        *(f"v1,{base64.b64encode(chance.randbytes(32)).decode()}", value.replace(",", ";"), value + ",", "," + value),
        sign([OTHER], message.headers[ID], NOW, message.body)[SIGNATURE],
        sign([SECRET], message.headers[ID], NOW + 1, message.body)[SIGNATURE],
        sign([SECRET], message.headers[ID] + "x", NOW, message.body)[SIGNATURE],
        sign([SECRET], message.headers[ID], NOW, message.body + b" ")[SIGNATURE],
        " ".join(f"v1,{base64.b64encode(chance.randbytes(32)).decode()}" for _ in range(chance.randrange(1, 50))),
        " " * chance.randrange(100),
    ]
    return message.with_header(SIGNATURE, chance.choice(forged))


def _moved(chance: random.Random, message: Message) -> Message:
    """The same bytes under the signature, cut at other places."""
    whole = f"{message.headers[ID]}.{NOW}.".encode() + message.body
    first, second = sorted(chance.sample(range(1, len(whole)), 2))
    headers = {ID: whole[:first].decode("latin-1"), TIME: whole[first + 1 : second].decode("latin-1")}
    return replace(message, headers={**message.headers, **headers}, body=whole[second + 1 :])


def _keys(chance: random.Random, message: Message) -> Message:
    return replace(message, secrets=chance.choice([(), (OTHER,), (OTHER, OTHER)]))


def _names(chance: random.Random, message: Message) -> Message:
    """Headers that are missing, renamed, or given twice with the wrong one last."""
    headers = dict(message.headers)
    name = chance.choice([ID, TIME, SIGNATURE])
    value = headers.pop(name)
    renamed = chance.choice([None, name.replace("-", "_"), f"svix{name[7:]}", f" {name}", name + "\0"])
    if renamed:
        headers[renamed] = value
    elif chance.random() < 0.5:
        headers |= {name: value, name.upper(): chance.choice(["", "x", value + "x"])}
    return replace(message, headers=headers)


def _only_spaced(mutant: Message) -> bool:
    """Whether it is the good message with an empty entry in its list of signatures, which changes nothing."""
    entries = [entry for entry in mutant.headers.get(SIGNATURE, "").split(" ") if entry]
    return (
        mutant == replace(GOOD, headers=mutant.headers)
        and {**mutant.headers, SIGNATURE: " ".join(entries)} == GOOD.headers
    )


MUTATIONS: tuple[Mutation, ...] = (_body, _header, _header, _time, _late, _signature, _moved, _keys, _names)


def test_ten_thousand_mutants() -> None:
    chance = random.Random(20_260_302)
    GOOD.verify()
    tried, wrong = 0, []
    while tried < 10_000:
        mutant = chance.choice(MUTATIONS)(chance, GOOD)
        if mutant.body and chance.random() < 0.2:  # and now and then its body as well
            mutant = _body(chance, mutant)
        if mutant == GOOD or _only_spaced(mutant):
            continue
        tried += 1
        try:
            mutant.verify()
            wrong.append(f"accepted: {mutant}"[:500])
        except BadSignature:
            pass
        except Exception as error:
            wrong.append(f"{error!r}: {mutant}"[:500])
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])


def test_an_honest_message_passes_among_forged_signatures() -> None:
    """What makes the figure above mean something: the one good signature is found wherever it stands."""
    chance = random.Random(1)
    for place in range(5):
        forged = [f"v1,{base64.b64encode(chance.randbytes(32)).decode()}" for _ in range(4)]
        forged.insert(place, GOOD.headers[SIGNATURE])
        GOOD.with_header(SIGNATURE, " ".join(forged)).verify()
    with pytest.raises(BadSignature):
        GOOD.with_header(SIGNATURE, " ".join(forged[:4])).verify()
