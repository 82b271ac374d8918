"""MongoDB: the collection `flink_jobs` and its companions, through pymongo.

Documents of the old platform are read too: ISO strings where dates belong, and without the newer fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final, TypeGuard

import bson
from bson.codec_options import DatetimeConversion
from msgspec.structs import replace
from pymongo import ASCENDING, DESCENDING, IndexModel, MongoClient, ReturnDocument, UpdateOne
from pymongo.collection import Collection as MongoCollection
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.errors import ConnectionFailure as MongoConnectionFailure
from pymongo.write_concern import WriteConcern

from flinkjobs.adapters import at_rest
from flinkjobs.errors import (
    DuplicateJobIdError,
    FlinkjobsError,
    InFlightError,
    StoreRefusedError,
    StoreUnavailableError,
    cut,
)
from flinkjobs.model import (
    AtRest,
    DocumentId,
    FlinkJobRef,
    IdSource,
    JobRecord,
    Reason,
    ReasonCode,
    Skipped,
    Status,
    UnreadableRecord,
    Update,
)
from flinkjobs.ports import Applied, Lease, Settled, Submitted, SubmitterLog, reads_all
from flinkjobs.states import FINAL, OPEN

TIMEOUT_MS: Final = 20_000
SERVER_SELECTION_TIMEOUT_MS: Final = 5_000

RUNS_KEPT: Final = timedelta(days=14)
"""`sync_runs` and `cleanup_runs` hold the runs of this long."""

UNIQUE_SUFFIX: Final = "_unique"
"""Ends the name of a unique index that had to be made beside one that is not unique."""

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)

_JobDocument = Mapping[str, Any]
_FLINK_JOB_ID: Final = re.compile(r"[0-9a-f]{32}")

FOLLOWED_FIELDS: Final = (
    "job_id",
    "status",
    "submitted_at",
    "k8s_job_name",
    "cluster",
    "flink_job_id",
    "flink_state",
    "flink_jobs",
    "submitter_done",
    "dropped_ids",
    "start_time",
    "end_time",
    "duration",
    "reason",
    "missing_since",
    "in_flight_until",
    "revision",
)

RECORDS_PER_BATCH: Final = 1_000
"""So many are worked on while MongoDB looks for the next ones."""

BY_TIME: Final = (
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("status", ASCENDING),
    ("template_id", ASCENDING),
    ("job_id", ASCENDING),
    ("k8s_job_name", ASCENDING),
    ("job_name", ASCENDING),
)
"""The list: every filter and the text search are answered by its keys; only the records shown are read."""
BY_STATUS: Final = (
    ("status", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("template_id", ASCENDING),
    ("duration", ASCENDING),
    ("reason.code", ASCENDING),
    ("flink_job_id", ASCENDING),
)
"""The list of a status; and all figures, which read no record at all."""
BY_TEMPLATE: Final = (
    ("template_id", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("status", ASCENDING),
)
"""The list of a template."""

JOB_INDEXES: Final = (
    IndexModel([("status", ASCENDING)]),
    IndexModel([("job_id", ASCENDING)], unique=True),
    IndexModel([("flink_job_id", ASCENDING)]),
    IndexModel([("submitted_at", DESCENDING)]),
    IndexModel([("flink_job_ids", ASCENDING)]),
    IndexModel([("k8s_job_name", ASCENDING)]),
    IndexModel(BY_TIME, name="list_by_time"),
    IndexModel(BY_STATUS, name="list_by_status"),
    IndexModel(BY_TEMPLATE, name="list_by_template"),
    IndexModel(
        [("idempotency_key", ASCENDING)],
        unique=True,
        partialFilterExpression={"idempotency_key": {"$type": "string"}},
    ),
)
"""The four indexes that the platform's users know, and what our own queries need besides."""


class MongoJobStore:
    """`flinkjobs.ports.JobStore` on one MongoDB database."""

    def __init__(self, client: MongoClient[dict[str, Any]], database: str) -> None:
        self._jobs: MongoCollection[dict[str, Any]] = client[database]["flink_jobs"]
        self._runs: MongoCollection[dict[str, Any]] = client[database]["sync_runs"]
        self._cleanup_runs: MongoCollection[dict[str, Any]] = client[database]["cleanup_runs"]
        self._templates: MongoCollection[dict[str, Any]] = client[database]["job_templates"]
        self._leases: MongoCollection[dict[str, Any]] = client[database].get_collection(
            "leases", write_concern=_without_journal(client.write_concern)
        )
        self._client = client

    def insert(self, record: JobRecord, details: Mapping[str, Any]) -> None:
        with translated():
            try:
                self._jobs.insert_one(_new_document(record, details))
            except DuplicateKeyError as error:
                if "idempotency_key" in ((error.details or {}).get("keyPattern") or {}):
                    raise InFlightError("another request with this idempotency key came first") from error
                raise DuplicateJobIdError(f"a record {record.job_id} exists already") from error

    def submitted_with(self, idempotency_key: str) -> Submitted | None:
        with translated():
            found = self._jobs.find_one({"idempotency_key": idempotency_key})
        if found is None:
            return None
        record = read_record(found)
        if isinstance(record, UnreadableRecord):
            raise StoreRefusedError(f"the record {record.job_id} cannot be read: {record.error}")
        return Submitted(record=record, request_hash=found.get("request_hash", ""), details=found)

    def take_up(self, record: JobRecord, *, until: datetime) -> JobRecord | None:
        unchanged = {"job_id": record.job_id, "status": Status.CREATED.value, "revision": record.revision}
        revision = (record.revision or 0) + 1
        with translated():
            result = self._jobs.update_one(
                unchanged, {"$set": {"in_flight_until": until, "revision": revision}}
            )
        return replace(record, in_flight_until=until, revision=revision) if result.matched_count else None

    def accept(self, job_id: str, *, now: datetime) -> bool:
        given_up = {"status": Status.FAILED.value, "reason.code": ReasonCode.K8S_JOB_MISSING.value}
        with translated():
            result = self._jobs.update_one(
                {"job_id": job_id, "status": {"$nin": sorted(FINAL)}},
                {"$set": {"in_flight_until": None, "updated_at": now}, "$inc": {"revision": 1}},
            )
            if result.matched_count:
                return True
            return self._jobs.find_one({"job_id": job_id, **given_up}, {"_id": 1}) is None

    def template(self, template_id: str) -> Mapping[str, Any] | None:
        with translated():
            return self._templates.find_one({"template_id": template_id}, {"_id": 0})

    def records_to_follow(
        self,
        *,
        lost_since: datetime,
        job_ids: Collection[str] | None = None,
        skip: Callable[[AtRest], bool] = reads_all,
        run_id: str | None = None,
    ) -> Iterator[JobRecord | UnreadableRecord | Skipped]:
        query: dict[str, Any] = {
            "status": {"$in": sorted({*OPEN, Status.LOST})},
            "$or": [{"status": {"$ne": Status.LOST.value}}, {"missing_since": {"$gte": lost_since}}],
        }
        if job_ids is not None:
            query["job_id"] = {"$in": sorted(job_ids)}
        if run_id is not None:  # a new status moves a record along in the index that is being read
            query["synced_by"] = {"$ne": run_id}
        with translated(), ThreadPoolExecutor(1, thread_name_prefix="records") as thread:
            batches: Iterator[Any] = self._jobs.find_raw_batches(
                query, dict.fromkeys(FOLLOWED_FIELDS, 1), batch_size=RECORDS_PER_BATCH
            )
            upcoming = thread.submit(next, batches, b"")
            while batch := upcoming.result():
                upcoming = thread.submit(next, batches, b"")  # while this one is worked on
                wanted, skipped = at_rest.sift(batch, skip)
                if skipped:
                    yield Skipped(skipped)
                yield from map(read_record, bson.decode_all(wanted, self._jobs.codec_options))

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str) -> Applied:
        if not updates:
            return Applied(job_ids=frozenset(), conflicts=frozenset())
        wanted = frozenset(update.after.job_id for update in updates)
        refused: dict[str, str] = {}
        with translated():
            try:
                result = self._jobs.bulk_write(
                    [_conditional(update, now, run_id) for update in updates], ordered=False
                )
            except BulkWriteError as error:
                refused = _refused(error, updates)
            else:
                if result.matched_count == len(updates):
                    return Applied(job_ids=wanted, conflicts=frozenset())
            ours = {"job_id": {"$in": sorted(wanted)}, "synced_by": run_id}
            written = frozenset(document["job_id"] for document in self._jobs.find(ours, {"job_id": 1}))
        return Applied(job_ids=written, conflicts=wanted - written - refused.keys(), refused=refused)

    def fail_submission(self, job_id: str, *, code: str, message: str, now: datetime) -> bool:
        with translated():
            result = self._jobs.update_one(
                {"job_id": job_id, "status": Status.CREATED.value, "flink_job_id": None},
                {
                    "$set": {
                        "status": Status.FAILED.value,
                        "reason": {"code": code, "message": message, "since": now},
                        "submitter_done": True,
                        "in_flight_until": None,
                        "updated_at": now,
                    },
                    "$inc": {"revision": 1},
                },
            )
        return result.matched_count == 1

    def settled(self, job_ids: Collection[str]) -> Mapping[str, Sequence[Settled]]:
        names = ("job_id", "status", "flink_job_id", "submitter_done", "k8s_job_name")
        found: dict[str, list[Settled]] = {}
        with translated():
            for document in self._jobs.find({"job_id": {"$in": sorted(job_ids)}}, dict.fromkeys(names, 1)):
                found.setdefault(document["job_id"], []).append(_settled(document))
        return found

    def save_run(self, report: Mapping[str, Any]) -> None:
        with translated():
            self._runs.insert_one(dict(report))

    def save_submitter_log(self, job_id: str, k8s_job_name: str, log: SubmitterLog) -> bool:
        kept = {"text": log.text, "truncated": log.truncated, "pod": log.pod, "saved_at": log.saved_at}
        with translated():
            of_the_job = {"job_id": job_id, "k8s_job_name": {"$in": [k8s_job_name, None]}}
            result = self._jobs.update_many(of_the_job, {"$set": {"submitter_log": kept}})
        return result.matched_count > 0

    def save_cleanup_run(self, report: Mapping[str, Any]) -> None:
        with translated():
            self._cleanup_runs.insert_one(dict(report))

    def take_lease(self, name: str, *, holder: str, ttl_seconds: float) -> Lease | None:
        taken = {"holder": holder, "expires_at": _from_now(ttl_seconds)}
        with translated():
            found = self._leases.find_one_and_update(
                {"_id": name, "$expr": {"$lte": ["$expires_at", "$$NOW"]}},
                [{"$set": {**taken, "fence": {"$add": ["$fence", 1]}}}],
                return_document=ReturnDocument.AFTER,
            )
            if found is None:
                found = self._first_lease(name, taken)
        if found is None:
            return None
        return Lease(name=name, holder=holder, fence=found["fence"], cursor=found.get("cursor"))

    def _first_lease(self, name: str, taken: Mapping[str, Any]) -> dict[str, Any] | None:
        """Makes the lease where there is none yet, already run out, and takes it; None when it is held."""
        try:
            self._leases.insert_one({"_id": name, "holder": None, "expires_at": _LONG_AGO, "fence": 0})
        except DuplicateKeyError:
            return None
        return self._leases.find_one_and_update(
            {"_id": name, "fence": 0},
            [{"$set": {**taken, "fence": 1}}],
            return_document=ReturnDocument.AFTER,
        )

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        return self._change_lease(lease, {"expires_at": _from_now(ttl_seconds)})

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        return self._change_lease(
            lease, {"holder": None, "expires_at": _LONG_AGO, "cursor": {"$literal": cursor}}
        )

    def cursor_of_lease(self, name: str) -> str | None:
        with translated():
            found = self._leases.find_one({"_id": name}, {"cursor": 1})
        return found.get("cursor") if found else None

    def _change_lease(self, lease: Lease, fields: Mapping[str, Any]) -> bool:
        ours = {"_id": lease.name, "holder": lease.holder, "fence": lease.fence}
        with translated():
            return self._leases.update_one(ours, [{"$set": dict(fields)}]).matched_count == 1

    def ensure_indexes(self) -> None:
        """Creates the indexes that are missing; idempotent.

        An index of the same fields that the collection has already, under any name and with any options,
        serves as well. Only uniqueness is insisted on: where the old platform made a `job_id` index that
        is not unique, a unique one is made beside it (MongoDB 5.0 or newer).

        Raises:
            StoreRefusedError: a unique index cannot be made, as a rule because a value occurs twice. All
                other indexes exist then.
        """
        with translated():
            kept_seconds = int(RUNS_KEPT.total_seconds())
            for runs in (self._runs, self._cleanup_runs):
                runs.create_indexes(
                    [IndexModel([("started_at", DESCENDING)], expireAfterSeconds=kept_seconds)]
                )
            try:
                self._jobs.create_indexes(list(JOB_INDEXES))
            except OperationFailure as error:
                if error.code not in (*_INDEX_EXISTS, _DUPLICATE_KEY):
                    raise
                self._ensure_one_by_one()

    def _ensure_one_by_one(self) -> None:
        refused: OperationFailure | None = None
        for index in JOB_INDEXES:
            try:
                self._ensure(index)
            except OperationFailure as error:
                if error.code != _DUPLICATE_KEY:
                    raise
                refused = error
        if refused is not None:
            raise refused

    def _ensure(self, index: IndexModel) -> None:
        try:
            self._jobs.create_indexes([index])
        except OperationFailure as error:
            if error.code not in _INDEX_EXISTS:
                raise
            wanted = index.document
            if wanted.get("unique") and not self._has_unique(wanted["key"]):
                options = {name: value for name, value in wanted.items() if name not in ("key", "name")}
                name = wanted["name"] + UNIQUE_SUFFIX
                self._jobs.create_indexes([IndexModel(list(wanted["key"].items()), name=name, **options)])

    def _has_unique(self, key: Mapping[str, Any]) -> bool:
        return any(
            index.get("unique") and index["key"] == list(key.items())
            for index in self._jobs.index_information().values()
        )

    def ping(self) -> None:
        with translated():
            self._client.admin.command("ping")

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
        self._client.close()


def connect(
    uri: str,
    database: str,
    *,
    timeout_ms: int = TIMEOUT_MS,
    server_selection_timeout_ms: int = SERVER_SELECTION_TIMEOUT_MS,
) -> MongoJobStore:
    """A store for this URI. Nothing is sent before the first call.

    Args:
        uri: a MongoDB connection string.
        database: its name.
        timeout_ms: longest silence of a server that was asked. Not pymongo's `timeoutMS`, under which a
            server that is away is looked for just as long, whatever `serverSelectionTimeoutMS` says.
        server_selection_timeout_ms: how long to look for a server that answers.

    Raises:
        StoreRefusedError: the URI cannot be understood. It is not quoted: it holds a password.
    """
    client = new_client(uri, timeout_ms=timeout_ms, server_selection_timeout_ms=server_selection_timeout_ms)
    return MongoJobStore(client, database)


def new_client(
    uri: str,
    *,
    timeout_ms: int = TIMEOUT_MS,
    server_selection_timeout_ms: int = SERVER_SELECTION_TIMEOUT_MS,
) -> MongoClient[dict[str, Any]]:
    """A connection pool for `connect`, with its arguments and errors."""
    try:
        return MongoClient(
            uri,
            appname="flinkjobs",
            tz_aware=True,
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,  # a date beyond the year 9999 costs itself
            serverSelectionTimeoutMS=server_selection_timeout_ms,
            connectTimeoutMS=server_selection_timeout_ms,
            socketTimeoutMS=timeout_ms,
            unicode_decode_error_handler="replace",  # as does text that is not UTF-8
            journal=True,  # a standalone server may forget what it acknowledged without
        )
    except (ConfigurationError, ValueError) as error:
        raise StoreRefusedError(f"MONGODB_URI cannot be used: {type(error).__name__}") from None


# --- documents --------------------------------------------------------------------------------------


def read_record(document: _JobDocument) -> JobRecord | UnreadableRecord:
    """The record that a document holds; a document that cannot be read says why and costs only itself."""
    try:
        return JobRecord(
            job_id=_required_text(document, "job_id"),
            status=Status(document["status"]),
            submitted_at=_required_time(document, "submitted_at"),
            k8s_job_name=_text_of(document, "k8s_job_name"),
            cluster=_text_of(document, "cluster") or "default",
            flink_state=_text_of(document, "flink_state"),
            flink_jobs=_read_refs(document),
            submitter_done=_is_submitter_done(document),
            dropped_ids=tuple(document.get("dropped_ids") or ()),
            start_time=read_time(document.get("start_time")),
            end_time=read_time(document.get("end_time")),
            duration=document.get("duration"),
            reason=_read_reason(document.get("reason")),
            missing_since=read_time(document.get("missing_since")),
            in_flight_until=read_time(document.get("in_flight_until")),
            revision=_revision(document),
            document_id=DocumentId(document.get("_id")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return UnreadableRecord(
            job_id=str(document.get("job_id")), error=cut(f"{type(error).__name__}: {error}", 200)
        )


def _read_refs(document: _JobDocument) -> tuple[FlinkJobRef, ...]:
    if (stored := document.get("flink_jobs")) is not None:
        return tuple(
            FlinkJobRef(
                id=_flink_job_id(ref["id"]),
                source=IdSource(ref["source"]),
                confirmed=ref["confirmed"],
                state=_text_of(ref, "state"),
                start_time=read_time(ref.get("start_time")),
                end_time=read_time(ref.get("end_time")),
                failure=ref.get("failure"),
                missing_since=read_time(ref.get("missing_since")),
                missing_passes=ref.get("missing_passes", 0),
            )
            for ref in stored
        )
    flink_job_id = document.get("flink_job_id")
    return (FlinkJobRef(id=_flink_job_id(flink_job_id), source=IdSource.RECORD),) if flink_job_id else ()


def _flink_job_id(stored: Any) -> str:
    """An id that Flink can be asked for."""
    if _is_flink_job_id(stored):
        return stored
    raise ValueError(f"no Flink Job ID: {cut(str(stored), 80)!r}")


def _is_flink_job_id(stored: Any) -> TypeGuard[str]:
    return isinstance(stored, str) and _FLINK_JOB_ID.fullmatch(stored) is not None


def _text_of(document: _JobDocument, name: str) -> str | None:
    stored = document.get(name)
    if stored is None or isinstance(stored, str):
        return stored
    raise TypeError(f"{name} is no text but {type(stored).__name__}")


def _required_text(document: _JobDocument, name: str) -> str:
    text = _text_of(document, name)
    if not text:
        raise ValueError(f"{name} is missing")
    return text


def _revision(document: _JobDocument) -> int | None:
    revision = document.get("revision")
    if revision is None or isinstance(revision, int):
        return revision
    raise TypeError(f"revision is no whole number but {type(revision).__name__}")


def _is_submitter_done(document: _JobDocument) -> bool:
    """Of an old record with an id nothing more is known of its submitter: it counts as done."""
    if "submitter_done" in document:
        return bool(document["submitter_done"])
    return bool(document.get("flink_job_id"))


def _read_reason(stored: _JobDocument | None) -> Reason | None:
    if stored is None:
        return None
    return Reason(
        code=ReasonCode(stored["code"]), message=stored["message"], since=_required_time(stored, "since")
    )


def read_time(stored: Any) -> datetime | None:
    """A BSON date, or one of the old platform's ISO strings, which are UTC without saying so.

    Of a string only the milliseconds count, as in a BSON date: converting it changes nothing that is read.
    """
    if stored is None or isinstance(stored, datetime):
        return stored
    read = datetime.fromisoformat(stored)
    read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    return read.replace(microsecond=read.microsecond // 1000 * 1000)


def _required_time(document: _JobDocument, name: str) -> datetime:
    time = read_time(document.get(name))
    if time is None:
        raise ValueError(f"{name} is missing")
    return time


def _settled(document: _JobDocument) -> Settled:
    status: Status | None
    try:
        status = Status(document["status"])
    except (KeyError, ValueError):
        status = None
    has_every_id = _is_flink_job_id(document.get("flink_job_id")) and _is_submitter_done(document)
    return Settled(
        job_id=document["job_id"],
        status=status,
        is_settled=status is not None and (status in FINAL or has_every_id),
        k8s_job_name=document.get("k8s_job_name"),
        document_id=document.get("_id"),
    )


def _new_document(record: JobRecord, details: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a new record."""
    return {
        "job_id": record.job_id,
        **details,
        **_fields(record),
        "submitted_at": record.submitted_at,
        "k8s_job_name": record.k8s_job_name,
        "cluster": record.cluster,
        "in_flight_until": record.in_flight_until,
        "updated_at": record.submitted_at,
        "revision": 0,
    }


def _fields(record: JobRecord) -> dict[str, Any]:
    """The fields of a document that a pass may change."""
    return {name: write(record) for name, _, write in _CHANGEABLE}


def _ref_document(ref: FlinkJobRef) -> dict[str, Any]:
    return {
        "id": ref.id,
        "source": ref.source.value,
        "confirmed": ref.confirmed,
        "state": ref.state,
        "start_time": ref.start_time,
        "end_time": ref.end_time,
        "failure": ref.failure,
        "missing_since": ref.missing_since,
        "missing_passes": ref.missing_passes,
    }


def _reason_document(reason: Reason | None) -> dict[str, Any] | None:
    if reason is None:
        return None
    return {"code": reason.code.value, "message": reason.message, "since": reason.since}


_CHANGEABLE: Final[Sequence[tuple[str, Callable[[JobRecord], Any], Callable[[JobRecord], Any]]]] = (
    ("flink_job_id", attrgetter("flink_job_id"), attrgetter("flink_job_id")),
    ("flink_job_ids", attrgetter("flink_job_ids"), lambda record: list(record.flink_job_ids)),
    ("flink_jobs", attrgetter("flink_jobs"), lambda record: list(map(_ref_document, record.flink_jobs))),
    ("submitter_done", attrgetter("submitter_done"), attrgetter("submitter_done")),
    ("dropped_ids", attrgetter("dropped_ids"), lambda record: list(record.dropped_ids)),
    ("status", attrgetter("status"), attrgetter("status.value")),
    ("flink_state", attrgetter("flink_state"), attrgetter("flink_state")),
    ("start_time", attrgetter("start_time"), attrgetter("start_time")),
    ("end_time", attrgetter("end_time"), attrgetter("end_time")),
    ("duration", attrgetter("duration"), attrgetter("duration")),
    ("reason", attrgetter("reason"), lambda record: _reason_document(record.reason)),
    ("missing_since", attrgetter("missing_since"), attrgetter("missing_since")),
)
"""Every field that a pass may change: its name, what tells whether it changed, and how it is written."""

_ONCE: Final = ("flink_jobs", "flink_job_ids", "submitter_done")
"""What a pass derives from the older fields of a document that it has not written yet."""


def _conditional(update: Update, now: datetime, run_id: str) -> UpdateOne:
    """The write of one record: only what changed, and only if the record still is as it was read.

    A document that was never written by a pass lacks fields, or holds them in the old platform's form: it
    gets them once. MongoDB looks at every index of a field that is set, changed or not.
    """
    before, after = update.before, update.after
    changed: dict[str, Any] = {
        name: write(after)
        for name, same, write in _CHANGEABLE
        if same(after) != same(before) or (before.revision is None and name in _ONCE)
    }
    changed["updated_at"] = now
    changed["revision"] = (before.revision or 0) + 1
    changed["synced_by"] = run_id
    unchanged = {
        "_id": before.document_id.value,
        "job_id": before.job_id,
        "status": before.status.value,
        "revision": before.revision,
    }
    return UpdateOne(unchanged, {"$set": changed}, hint="_id_")  # else it weighs the other indexes as well


def _without_journal(concern: WriteConcern) -> WriteConcern:
    """Of a lease: if a server that crashes forgets it, its holder finds it gone before the next write."""
    return WriteConcern(**{name: value for name, value in concern.document.items() if name != "j"})


def _from_now(seconds: float) -> dict[str, Any]:
    """A time by the server's clock: an aggregation expression for an update."""
    return {"$add": ["$$NOW", int(seconds * 1000)]}


# --- errors -----------------------------------------------------------------------------------------

_INDEX_EXISTS: Final = (85, 86)
"""IndexOptionsConflict and IndexKeySpecsConflict: an index of these fields, or of this name, exists."""
_DUPLICATE_KEY: Final = 11000

_RETRYABLE_CODES: Final = frozenset({6, 7, 50, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Server codes that mean "not now": https://github.com/mongodb/specifications, retryable reads."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns pymongo's exceptions into StoreUnavailableError, what may go away, or StoreRefusedError."""
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


def _refused(error: BulkWriteError, updates: Sequence[Update]) -> dict[str, str]:
    """The records that MongoDB did not take, and why: a validator, a unique index, a document too large.

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


def _text(error: PyMongoError) -> str:
    return cut(_ASIDE.sub("", " ".join(str(error).split())), 300)
