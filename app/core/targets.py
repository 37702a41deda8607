"""Where outgoing HTTP may go: URLs and addresses, judged without touching the network."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_CHARS = 2048

# Any port may serve HTTP, so this is a short list of services that act on text they were never meant to read:
# shells, name servers, mail, and data stores (an HTTP body can carry commands for Redis or memcached).
REFUSED_PORTS = frozenset({21, 22, 23, 25, 53, 110, 143, 389, 445, 465, 587, 3306, 5432, 6379, 11211, 27017})

# IANA special-purpose registry; the last line is one provider's host service on an otherwise public address.
_CLOSED_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",
    )
)
# Everything outside this one block is loopback, local, mapped, NAT64, multicast or not assigned.
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_CLOSED_IPV6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = IPv6Network("::/96")

_HOST_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?")
# What system resolvers read as an IPv4 address in octal, hex or one number: 0177.1, 0x7f.1, 2130706433.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")


class BadUrl(ValueError):
    """A URL that will not be called. The text says what to change and repeats nothing of the URL."""


def check_url(url: str, allow_networks: Sequence[Network] = ()) -> httpx.URL:
    """Judge a URL by its text alone: scheme, user name, port, host. Names are judged when they are resolved.

    Args:
        allow_networks: networks that may be called although they are not public.
    Returns: the parsed URL, the only form that should be used from here on.
    Raises: BadUrl, and nothing else whatever the text.
    """
    parsed = _parse(url)
    if parsed.scheme not in {"http", "https"}:
        raise BadUrl("the URL must start with https:// or http://")
    if parsed.userinfo:
        raise BadUrl("the URL carries a user name or password; leave them out")
    if parsed.port is not None and (not 0 < parsed.port < 65536 or parsed.port in REFUSED_PORTS):
        raise BadUrl("the port belongs to another service; use 443, 80 or another port that serves HTTP")
    address = _literal_address(parsed.raw_host.decode("ascii"))
    if address is not None and not is_allowed(address, allow_networks):
        raise BadUrl("the address is not public; use a public one, or have its network added to the allowed networks")
    return parsed


def is_allowed(address: Address, allow_networks: Sequence[Network] = ()) -> bool:
    """Whether the address may be connected to: it is public, or lies in an allowed network as it is written.

    An allowed network of wrapped addresses (mapped, 6to4, NAT64, Teredo) does not open the IPv4 address inside.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    if any(address in network for network in allow_networks if network.version == address.version):
        wrapped = _wrapped_ipv4(address)
        return wrapped is None or is_allowed(wrapped, allow_networks)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in network for network in _CLOSED_IPV6)


def _parse(url: str) -> httpx.URL:
    if len(url) > MAX_URL_CHARS:
        raise BadUrl(f"the URL is longer than {MAX_URL_CHARS} characters; shorten it")
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError):  # ValueError: lone surrogates, international names that cannot be encoded
        # The cause would repeat the URL in logs.
        raise BadUrl("the URL cannot be read; write it as https://host/path") from None


def _literal_address(host: str) -> Address | None:
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(host)
    except ValueError:
        pass
    if _ENDS_IN_NUMBER.fullmatch(host):
        raise BadUrl("the host is a number in an unusual form; write the address as four decimal numbers")
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise BadUrl("the host is not a name or an address; write it as https://host/path")
    return None


def _wrapped_ipv4(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64 or address in _IPV4_COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
