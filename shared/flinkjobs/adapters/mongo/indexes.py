"""The indexes that the queries need, and their creation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.adapters.mongo.unmanaged import COLLECTION

T = TypeVar("T")
_NAME_TAKEN: Final = 86
_INDEX_EXISTS: Final = (85, _NAME_TAKEN)
"""IndexOptionsConflict and IndexKeySpecsConflict: an index of these fields, or of this name, exists."""
_DUPLICATE_KEY: Final = 11000

RUNS_KEPT: Final = timedelta(days=14)
"""`sync_runs` and `cleanup_runs` hold the runs of this long."""

UNIQUE_SUFFIX: Final = "_unique"
"""Ends the name of a unique index that had to be made in addition to one that is not unique."""

OWN_PREFIX: Final = "list_by_"
"""Begins the names of indexes that only this project makes."""

BY_TIME: Final = (
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("status", ASCENDING),
    ("template_id", ASCENDING),
    ("submitted_by", ASCENDING),
    ("cluster", ASCENDING),
    ("reason.code", ASCENDING),
    ("duration", ASCENDING),
    ("flink_job_id", ASCENDING),
    ("ended_by", ASCENDING),
)
"""The list, `find().sort({"submitted_at": -1, "_id": -1})`: filters are checked on its keys, and only the
records shown are read; for a text that many records begin with, records are checked. The statistics of the
days that are not summed, from these keys alone."""
BY_END: Final = (("end_time", DESCENDING), ("_id", DESCENDING), ("status", ASCENDING))
"""The list by the time of the end. For other filters than the status, records are read."""
BY_STATUS: Final = (
    ("status", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("reason.code", ASCENDING),
)
"""The list of a status, `find({"status": …}).sort({"submitted_at": -1, "_id": -1})`; what waits or has failed
lately, by its reason."""
BY_TEMPLATE: Final = (
    ("template_id", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("status", ASCENDING),
)
"""The list of a template."""
BY_TEMPLATE_AND_STATUS: Final = (
    ("template_id", ASCENDING),
    ("status", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
)
"""The list of a template's records in some statuses, however few those are."""
BY_LABEL: Final = (
    ("label_pairs", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("status", ASCENDING),
    ("template_id", ASCENDING),
)
"""The list of a label, without records that have none. For a text or a second label, records are read."""

BY_OWNER: Final = (("submitted_by", ASCENDING), ("submitted_at", DESCENDING), ("_id", DESCENDING))
"""The list of an owner; a search, `find({"submitted_by": {"$gte": …, "$lt": …}})`."""
BY_NAME: Final = (("job_name", ASCENDING),)
"""A search, `find({"job_name": {"$gte": …, "$lt": …}})`; by ids and templates it uses their own indexes."""

BY_HEALTH: Final = (("health.state", ASCENDING), ("submitted_at", DESCENDING), ("_id", DESCENDING))
"""The list of open records that need attention: those without a health that was written are left out."""

BY_FINGERPRINT: Final = (("status", ASCENDING), ("fingerprint", ASCENDING))
"""A pass: which records are unchanged, from these keys alone; and the others, by their fingerprints."""

BY_OPEN_ACTION: Final = (("open_action_since", ASCENDING),)
"""A pass: the records with an open action, in any status; the others are left out."""

BY_MARK: Final = (("pending_since", ASCENDING),)
"""Where no channel is configured: the records whose marks are old, `find({"pending_since": {"$lt": …}})`; and
how many records are pending, and since when."""
BY_CHANNEL: Final = (("waiting_for", ASCENDING), ("pending_since", ASCENDING))
"""A delivery: `find({"pending_since": {"$exists": true}, "waiting_for": {"$in": [null, …]}})`, oldest first.

What waits for a channel that fails has its name there, and is read only when the channel is tried."""

BY_RUN: Final = (("run_of", ASCENDING), ("attempt", ASCENDING))
"""The runs of a job: no two of them have the same number. Records that repeat none are left out."""

JOB_INDEXES: Final = (
    IndexModel([("status", ASCENDING)]),  # the users' own counts by status
    IndexModel([("job_id", ASCENDING)], unique=True),  # one record, and a search by the beginning of its id
    IndexModel(
        [("flink_job_id", ASCENDING)]
    ),  # likewise; owners of Flink jobs, in records of the old platform
    IndexModel([("submitted_at", DESCENDING)]),  # the users' own lists
    IndexModel([("flink_job_ids", ASCENDING)]),  # owners of Flink jobs: {"flink_job_ids": {"$in": …}}
    IndexModel([("k8s_job_name", ASCENDING)]),  # one record by its Kubernetes Job, and a search
    IndexModel(BY_TIME, name="list_by_time"),
    IndexModel(BY_END, name="list_by_end"),
    IndexModel(BY_STATUS, name="list_by_status"),
    IndexModel(BY_TEMPLATE, name="list_by_template"),
    IndexModel(BY_TEMPLATE_AND_STATUS, name="list_by_template_and_status"),
    IndexModel(BY_LABEL, name="list_by_label", partialFilterExpression={"label_pairs": {"$exists": True}}),
    IndexModel(BY_OWNER, name="list_by_owner"),
    IndexModel(BY_NAME),
    IndexModel(BY_HEALTH, name="list_by_health", partialFilterExpression={"health.state": {"$exists": True}}),
    IndexModel(BY_FINGERPRINT),
    IndexModel(BY_OPEN_ACTION, partialFilterExpression={"open_action_since": {"$exists": True}}),
    IndexModel(BY_RUN, unique=True, partialFilterExpression={"run_of": {"$exists": True}}),
    IndexModel(BY_MARK, sparse=True),
    IndexModel(BY_CHANNEL, partialFilterExpression={"pending_since": {"$exists": True}}),
    IndexModel(  # a repeated submission: {"idempotency_key": …}
        [("idempotency_key", ASCENDING)],
        unique=True,
        partialFilterExpression={"idempotency_key": {"$type": "string"}},
    ),
)
"""The four indexes that the platform's users know, then those that our own queries need."""

_RUN_INDEX: Final = IndexModel(
    [("started_at", DESCENDING)], expireAfterSeconds=int(RUNS_KEPT.total_seconds())
)


_UNMANAGED_INDEX: Final = IndexModel(
    [("seen_at", ASCENDING)], expireAfterSeconds=int(RUNS_KEPT.total_seconds())
)
"""A cluster that no pass has seen for this long is forgotten."""

_BAD_VALUE: Final = 2


def hinted(index: Sequence[tuple[str, int]], ask: Callable[[Mapping[str, Any]], T]) -> T:
    """Asks with an index as the argument `hint`; without one where it does not exist."""
    try:
        return ask({"hint": dict(index)})
    except OperationFailure as error:
        if error.code != _BAD_VALUE or "hint" not in str(error):
            raise
        return ask({})


def ensure_indexes(database: MongoDatabase) -> None:
    """Creates the indexes that are missing; idempotent.

    An index of the same fields that the collection has already, under any name and with any options, serves
    as well; one of our name with other fields, of an earlier version, is replaced. Only uniqueness is
    insisted on: where the old platform made a `job_id` index that is not unique, a unique one
    is made in addition (MongoDB 5.0 or newer).

    Raises:
        StoreRefusedError: a unique index cannot be made, as a rule because a value occurs twice. All other
            indexes exist then.
    """
    with translated():
        for name in ("sync_runs", "cleanup_runs"):
            database[name].create_indexes([_RUN_INDEX])
        database[COLLECTION].create_indexes([_UNMANAGED_INDEX])
        jobs = database["flink_jobs"]
        try:
            jobs.create_indexes(list(JOB_INDEXES))
        except OperationFailure as error:
            if error.code not in (*_INDEX_EXISTS, _DUPLICATE_KEY):
                raise
            _ensure_one_by_one(jobs)


def _ensure_one_by_one(jobs: Collection[dict[str, Any]]) -> None:
    refused: OperationFailure | None = None
    for index in JOB_INDEXES:
        try:
            _ensure(jobs, index)
        except OperationFailure as error:
            if error.code != _DUPLICATE_KEY:
                raise
            refused = error
    if refused is not None:
        raise refused


def _ensure(jobs: Collection[dict[str, Any]], index: IndexModel) -> None:
    try:
        jobs.create_indexes([index])
    except OperationFailure as error:
        if error.code not in _INDEX_EXISTS:
            raise
        wanted = index.document
        if error.code == _NAME_TAKEN and wanted["name"].startswith(OWN_PREFIX):
            jobs.drop_index(wanted["name"])
            jobs.create_indexes([index])
        elif wanted.get("unique") and not _is_served(wanted, jobs.index_information().values()):
            options = {name: value for name, value in wanted.items() if name not in ("key", "name")}
            name = wanted["name"] + UNIQUE_SUFFIX
            jobs.create_indexes([IndexModel(list(wanted["key"].items()), name=name, **options)])


def missing_indexes(database: MongoDatabase) -> tuple[str, ...]:
    """The names of the indexes of `flink_jobs` that are missing."""
    with translated():
        existing = database["flink_jobs"].index_information().values()
    return tuple(index.document["name"] for index in JOB_INDEXES if not _is_served(index.document, existing))


def _is_served(wanted: Mapping[str, Any], existing: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an index of these fields exists: only uniqueness is insisted on."""
    return any(
        index["key"] == list(wanted["key"].items()) and (index.get("unique") or not wanted.get("unique"))
        for index in existing
    )
