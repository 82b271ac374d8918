"""Who acts on the page: the user that a sign-in proxy names, and whether they are an operator. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

_USER: Final = re.compile(r"[!-+\--~]{1,200}")
"""Printable ASCII without spaces. A comma joins the values of a header that came twice."""
_NAMESPACE: Final = re.compile(r"(accounts\.google\.com|securetoken\.google\.com/[^:]*):")
_GOOGLE: Final = "x-goog-"
"""Headers of Identity-Aware Proxy name the directory first: https://cloud.google.com/iap/docs/identity-howto"""
_OPERATOR: Final = re.compile(r"\*|\*@[^@*\s]+|[!-)+\--~]{1,200}")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who sends a request of the page.

    Attributes:
        name: as the sign-in proxy names them; None where there is none, or the request came around it.
        may_act: whether they may act on jobs.
    """

    name: str | None
    may_act: bool


def actor_of(headers: Mapping[str, str], header: str | None, operators: Collection[str]) -> Actor:
    """Who sends a request, by the one header that is trusted.

    Args:
        headers: of the request, by lower-case name.
        header: name of the header that the sign-in proxy sets; None: there is no proxy, no header is
            believed, and everybody who reaches the page may act.
        operators: see `is_operator`.
    """
    if header is None:
        return Actor(name=None, may_act=True)
    name = header.lower()
    user = headers.get(name, "")
    if name.startswith(_GOOGLE):
        user = _NAMESPACE.sub("", user, count=1)
    if not _USER.fullmatch(user):
        return Actor(name=None, may_act=False)
    return Actor(name=user, may_act=is_operator(user, operators))


def is_operator(user: str, operators: Collection[str]) -> bool:
    """Whether an entry names this user, in any case: the user's name, `*@domain`, or `*` for all users."""
    name, at, domain = user.lower().partition("@")
    own = f"*@{domain}" if name and at and "@" not in domain else user
    return not {"*", user.lower(), own.lower()}.isdisjoint(entry.lower() for entry in operators)


def check_operator(entry: str) -> str:
    """An entry of `OPERATORS`, unchanged.

    Raises:
        ValueError: it is none.
    """
    if not _OPERATOR.fullmatch(entry):
        raise ValueError(f"must hold addresses, *@DOMAIN or *, not {entry[:80]!r}")
    return entry
