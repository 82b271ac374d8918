"""MongoDB: the actions in the records of `flink_jobs`.

`open_action_since` stands on a record while it has an action that a pass follows: what the index of a pass
holds. It is set by the write that adds an action, and removed by one on condition that none is open; where
that did not happen, the next pass does it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from pymongo import ASCENDING

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.documents import FOLLOWED, newest_with_id, plain, read_record, readable
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.domain.actions import ENDS_AS, OPEN_STATES, Action, ActionState, may_follow
from flinkjobs.domain.errors import StoreRefusedError
from flinkjobs.domain.flink_states import FINAL
from flinkjobs.domain.records import JobRecord, UnreadableRecord

ACTIONS_KEPT: Final = 100
"""Maximum number of actions on a record, the newest ones."""

_OPEN: Final = {"$in": [state.value for state in OPEN_STATES]}
_MARK: Final = "open_action_since"


class MongoActionStore:
    """`flinkjobs.ports.action_store.ActionStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._jobs = database["flink_jobs"]

    def look_up(self, any_id: str) -> JobRecord | None:
        with translated():
            found = newest_with_id(self._jobs, any_id, FOLLOWED)
        return None if found is None else readable(found)

    def request(self, record: JobRecord, action: Action) -> JobRecord:
        own = {"_id": record.document_id.value}
        same: list[dict[str, Any]] = [{"kind": action.kind.value, "state": _OPEN}]
        if action.key is not None:
            same.append({"key": action.key})
        is_free = {"actions": {"$not": {"$elemMatch": {"$or": same}}}, "status": {"$nin": sorted(FINAL)}}
        change = {
            "$push": {"actions": {"$each": [plain(action)], "$slice": -ACTIONS_KEPT}},
            "$min": {_MARK: action.requested_at},
        }
        with translated():
            self._jobs.update_one(own | is_free, change)
            found = self._jobs.find_one(own, FOLLOWED)
        if found is None:
            raise StoreRefusedError(f"the record {record.job_id} was deleted")
        return readable(found)

    def with_open_action(
        self, job_ids: Collection[str] | None = None
    ) -> Iterator[JobRecord | UnreadableRecord]:
        query: dict[str, Any] = {_MARK: {"$exists": True}}
        if job_ids is not None:
            query["job_id"] = {"$in": sorted(job_ids)}
        with translated():
            yield from map(read_record, self._jobs.find(query, FOLLOWED).sort(_MARK, ASCENDING))

    def move(self, record: JobRecord, before: Action, after: Action) -> bool:
        states = {"$in": sorted(state.value for state in may_follow(before, after))}
        unmoved: dict[str, Any] = {"_id": record.document_id.value}
        unmoved["actions"] = {"$elemMatch": {"id": before.id, "state": states}}
        change = {f"actions.$.{name}": value for name, value in plain(after).items()}
        is_end = after.state is ActionState.DONE and after.kind in ENDS_AS
        with translated():
            if is_end:
                # The write that ends the record says what ended it, and must know of this one.
                is_open = {"status": {"$ne": ENDS_AS[after.kind].value}}
                seen = {"$set": change, "$inc": {"revision": 1}}
                if self._jobs.update_one(unmoved | is_open, seen).matched_count:
                    return True
                change["ended_by"] = after.kind.value
            return self._jobs.update_one(unmoved, {"$set": change}).matched_count > 0

    def close(self, record: JobRecord) -> None:
        none_open = {"actions": {"$not": {"$elemMatch": {"state": _OPEN}}}}
        with translated():
            self._jobs.update_one({"_id": record.document_id.value} | none_open, {"$unset": {_MARK: ""}})
