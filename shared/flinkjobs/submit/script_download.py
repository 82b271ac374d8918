"""Program of the init container that fetches a script; its source is sent in the manifest.

It runs in the submitter's image, so it uses the standard library alone, of Python 3.8 or newer. Only https
to allowed hosts, redirects included; no address but a public one, and the address that was checked is the
one that is connected to; a limit of size and of time; a script that was cut off on the way is none.
"""

from __future__ import annotations

import http.client
import ipaddress
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

MAX_BYTES = 16 * 1024 * 1024
MAX_REDIRECTS = 5
TIMEOUT_SECONDS = 20
DEADLINE_SECONDS = 120
REDIRECTS = (301, 302, 303, 307, 308)
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses of this network stand for the IPv4 address in their last 32 bits (RFC 6052)."""


class Refused(Exception):  # noqa: N818 - the message is shown to users
    """The script is refused; the message holds the cause."""


def is_public(text: str) -> bool:
    """Whether an address, and every IPv4 address embedded in it, is public."""
    address = ipaddress.ip_address(text.partition("%")[0])
    addresses: list[Any] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        addresses += [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            addresses.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.is_site_local:
            return False
    return all(each.is_global and not each.is_multicast for each in addresses if each is not None)


def public_address(host: str, port: int, resolve: Callable[..., Any] = socket.getaddrinfo) -> str:
    """The first address of a host, provided that all its addresses are public."""
    found: list[str] = [entry[4][0] for entry in resolve(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if not is_public(address):
            raise Refused(f"{host} has the address {address}, which is not public")
    if not found:
        raise Refused(f"{host} has no address")
    return found[0]


def connect(host: str, address: str, port: int) -> http.client.HTTPSConnection:
    """An https connection to an address, with the certificate of the host."""
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS)
    plain = socket.create_connection((address, port), TIMEOUT_SECONDS)
    connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    return connection


def fetch(
    url: str,
    hosts: list[str],
    user_agent: str,
    resolve: Callable[..., Any] = socket.getaddrinfo,
    connect: Callable[..., http.client.HTTPConnection] = connect,
) -> bytes:
    """The bytes at a URL."""
    for _ in range(MAX_REDIRECTS + 1):
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.scheme != "https" or parts.port not in (None, 443) or parts.username is not None:
            place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # the rest may hold a secret
            raise Refused(f"{place} is not https on the usual port, without a user")
        if host not in hosts:
            raise Refused(f"{host or 'no host'} is not an allowed host")
        connection = connect(host, public_address(host, 443, resolve), 443)
        try:
            target = parts.path or "/"
            target = f"{target}?{parts.query}" if parts.query else target
            connection.request("GET", target, headers={"User-Agent": user_agent})
            answer = connection.getresponse()
            location = answer.getheader("Location")
            if answer.status in REDIRECTS and location:
                url = urljoin(url, location)
                continue
            if answer.status != 200:  # noqa: PLR2004 - OK
                raise Refused(f"{host} answered {answer.status}")
            length = answer.length
            body = bytearray()
            while part := answer.read(65536):
                body += part
                if len(body) > MAX_BYTES:
                    raise Refused(f"the script is larger than {MAX_BYTES} bytes")
            if length is not None and len(body) != length:
                raise Refused(f"{host} sent {len(body)} of {length} bytes")
            return bytes(body)
        finally:
            connection.close()
    raise Refused(f"more than {MAX_REDIRECTS} redirects")


def _too_late(_number: int, _frame: Any) -> None:
    raise Refused(f"it did not arrive within {DEADLINE_SECONDS} s")


def main(arguments: list[str]) -> None:
    """Fetches URL to FILE: arguments are URL, FILE, the User-Agent, and the allowed hosts."""
    url, file, user_agent, *hosts = arguments
    signal.signal(signal.SIGALRM, _too_late)  # ends even an answer that comes byte by byte
    signal.alarm(DEADLINE_SECONDS)
    try:
        body = fetch(url, hosts, user_agent)
    except (Refused, OSError, http.client.HTTPException, ValueError) as error:
        sys.exit(f"the script could not be fetched: {error}")
    finally:
        signal.alarm(0)
    with open(file, "wb") as target:  # noqa: PTH123 - the image's Python may be old
        target.write(body)


if __name__ == "__main__":
    main(sys.argv[1:])
