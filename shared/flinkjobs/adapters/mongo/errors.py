"""The driver's errors as errors of flinkjobs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

from pymongo.errors import (
    BulkWriteError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.errors import ConnectionFailure as MongoConnectionFailure

from flinkjobs.domain.errors import (
    FlinkjobsError,
    StoreNotFoundError,
    StoreRefusedError,
    StoreUnavailableError,
)
from flinkjobs.domain.text import cut
from flinkjobs.domain.transition import Update

_RETRYABLE_CODES: Final = frozenset({6, 7, 50, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Server codes that mean "not now": https://github.com/mongodb/specifications, retryable reads."""


@contextmanager
def translated() -> Iterator[None]:
    """Maps pymongo's exceptions to StoreUnavailableError (temporary) or StoreRefusedError."""
    try:
        yield
    except FlinkjobsError:
        raise
    except BulkWriteError as error:
        codes = {entry.get("code") for entry in _write_errors(error)}
        if codes and codes <= _RETRYABLE_CODES:
            raise StoreUnavailableError(
                f"MongoDB stopped in the middle of a write: {_text(error)}"
            ) from error
        raise StoreRefusedError(f"MongoDB refused a write: {_text(error)}") from error
    except (MongoConnectionFailure, NotPrimaryError, ExecutionTimeout, WTimeoutError) as error:
        raise StoreUnavailableError(f"MongoDB did not answer: {_text(error)}") from error
    except OperationFailure as error:
        if error.code in _RETRYABLE_CODES:
            raise StoreUnavailableError(f"MongoDB did not answer: {_text(error)}") from error
        raise StoreRefusedError(f"MongoDB refused: {_text(error)}") from error
    except PyMongoError as error:
        if error.timeout:
            raise StoreUnavailableError(f"MongoDB did not answer in time: {_text(error)}") from error
        raise StoreRefusedError(f"MongoDB refused: {_text(error)}") from error


_CREDENTIALS: Final = re.compile(r"[^:/?#\[\]@]*(:[^:/?#\[\]@]*)?")
"""A user and a password without unencoded reserved characters: RFC 3986, 3.2.1."""

_FILE_OPTIONS: Final = frozenset({"tlscafile", "tlscertificatekeyfile", "tlscrlfile"})


def unusable_uri(uri: str, error: Exception) -> StoreRefusedError | StoreUnavailableError:
    """The error of an invalid connection string, without its user and password.

    The driver quotes names of hosts, databases and options. Where a password is not percent-encoded it takes
    parts of the password for such names, so its words are left out.
    """
    # dnspython costs start-up time, and the driver loads it only for mongodb+srv.
    from dns.exception import Timeout  # noqa: PLC0415
    from dns.resolver import NXDOMAIN, NoAnswer, NoNameservers  # noqa: PLC0415

    credentials, _, rest = uri.partition("://")[2].rpartition("@")
    if not _CREDENTIALS.fullmatch(credentials):
        return StoreRefusedError(
            "MONGODB_URI cannot be used: its user and password must be percent-encoded (RFC 3986)"
        )
    host, _, options = rest.partition("?")
    if isinstance(error.__cause__, Timeout | NXDOMAIN | NoAnswer | NoNameservers):
        return StoreNotFoundError(
            f"MONGODB_URI: DNS does not resolve {host.partition('/')[0]}: {_text(error)}"
        )
    message = _text(error)
    if isinstance(error, OSError):  # OpenSSL does not name the file
        files = [f"{name} {path}" for name, path in parse_qsl(options) if name.lower() in _FILE_OPTIONS]
        message = f"{', '.join(files)}: {message}"
    return StoreRefusedError(f"MONGODB_URI cannot be used: {message}")


def refused_job_ids(error: BulkWriteError, updates: Sequence[Update]) -> dict[str, str]:
    """Records that MongoDB refused, with the cause: a validator, a unique index, a document too large.

    Raises:
        BulkWriteError: what went wrong is not the fault of single documents.
    """
    details = error.details or {}
    entries = details.get("writeErrors", ())
    if details.get("writeConcernErrors") or any(entry.get("code") in _RETRYABLE_CODES for entry in entries):
        raise error
    return {
        updates[
            entry["index"]
        ].after.job_id: f"MongoDB refused the write: {cut(str(entry.get('errmsg')), 300)}"
        for entry in entries
    }


def _write_errors(error: BulkWriteError) -> Iterable[Mapping[str, Any]]:
    details = error.details or {}
    yield from details.get("writeErrors", ())
    yield from details.get("writeConcernErrors", ())


_ASIDE: Final = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: [\d.]+s, Topology Description: .*")
"""What pymongo adds to the error of each server: its own settings, and all of it once more as an object."""


def _text(error: Exception) -> str:
    return cut(_ASIDE.sub("", " ".join(str(error).split())), 300)
