"""The store, its pages and selectors, without HTTP."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from doubles.kubernetes.deletion import delete
from doubles.kubernetes.errors import ApiError
from doubles.kubernetes.objects import CONFIG_MAPS, EVENTS, JOBS, NAMESPACES, PODS, Obj, Resource, parse_stamp
from doubles.kubernetes.selectors import Selector, field_of, parse_labels, parse_selector
from doubles.kubernetes.store import Change, Store
from doubles.kubernetes.watches import Scope, Watches

NOW = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)
EVERYTHING = Selector()
OBJECTS: dict[str, dict[str, str]] = {
    "a": {"app": "x", "tier": "1"},
    "b": {"app": "x", "tier": "22"},
    "c": {"app": "y"},
    "d": {},
}


@pytest.fixture
def store() -> Store:
    return Store(lambda: NOW)


def make(
    store: Store, name: str, *, namespace: str = "n", resource: Resource = CONFIG_MAPS, **metadata: object
) -> Obj:
    return store.create(resource, {"metadata": {"name": name, "namespace": namespace, **metadata}})


def names(objects: Iterator[Obj] | list[Obj]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", "abcd"),
        ("app=x", "ab"),
        ("app==x", "ab"),
        ("app = x", "ab"),
        ("app!=x", "cd"),
        ("app in (x,y)", "abc"),
        ("app in ( x , y ),tier", "ab"),
        ("app notin (x)", "cd"),
        ("app", "abc"),
        ("!app", "d"),
        ("! app", "d"),
        ("tier>1", "b"),
        ("tier<22", "a"),
        ("app=x,tier=1", "a"),
        ("app=", ""),
        ("in in (x)", ""),
    ],
)
def test_label_selectors(selector: str, selected: str) -> None:
    requirements = parse_labels(selector)
    found = [name for name, labels in OBJECTS.items() if all(one.matches(labels) for one in requirements)]
    assert found == list(selected)


@pytest.mark.parametrize(
    "selector", ["a===", "a in (x", "in (x)", "a in ()", "a=b c", "a=/", "-a", "a,", "a=x,,b"]
)
def test_malformed_label_selectors_are_400(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels(selector)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert "unable to parse requirement" in caught.value.message


@pytest.mark.parametrize(
    ("resource", "selector", "obj", "matches"),
    [
        (PODS, "status.phase=Failed", {"status": {"phase": "Failed"}}, True),
        (PODS, "status.phase!=Failed", {"status": {"phase": "Failed"}}, False),
        (PODS, "spec.nodeName=", {"spec": {}}, True),
        (PODS, "spec.nodeName==n1,status.phase=Running", {"spec": {"nodeName": "n1"}}, False),
        (JOBS, "status.successful=0", {"status": {}}, True),
        (JOBS, "status.successful=1", {"status": {"succeeded": 1}}, True),
        (
            EVENTS,
            "involvedObject.uid=u,reason=Failed",
            {"involvedObject": {"uid": "u"}, "reason": "Failed"},
            True,
        ),
        (EVENTS, "source=kubelet", {"source": {"component": "kubelet"}}, True),
        (EVENTS, "source=s", {"source": {}, "reportingComponent": "s"}, True),
        (EVENTS, "involvedObject.kind=Job", {"involvedObject": {"kind": "Pod"}}, False),
    ],
)
def test_field_selectors(resource: Resource, selector: str, obj: Obj, *, matches: bool) -> None:
    parsed = parse_selector(resource, "", selector)
    assert parsed.matches({"metadata": {"name": "x"}, **obj}) is matches


@pytest.mark.parametrize(
    ("resource", "selector", "message"),
    [
        (JOBS, "spec.x=1", 'field label "spec.x" not supported for Job'),
        (JOBS, "metadata.name=x,status.phase=x", 'field label "status.phase" not supported for Job'),
        (PODS, "spec.x!=1", "field label not supported: spec.x"),
        (EVENTS, "message=x", "field label not supported: message"),
        (NAMESPACES, "x=1", "field label not supported: x"),
        (
            CONFIG_MAPS,
            "data=x",
            '"data" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (PODS, "nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
    ],
)
def test_unknown_fields_are_400(resource: Resource, selector: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_selector(resource, "", selector)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_field_of_an_absent_path_is_empty() -> None:
    assert field_of({"metadata": {"name": "x"}}, "spec.nodeName") == ""


def test_creation_stamps_and_counts_versions(store: Store) -> None:
    first, second = make(store, "a"), make(store, "b")
    assert first["metadata"]["creationTimestamp"] == "2026-03-01T12:00:00Z"
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    with pytest.raises(ApiError) as caught:
        make(store, "a")
    assert caught.value.reason == "AlreadyExists"


def test_an_unchanged_replacement_is_no_write(store: Store) -> None:
    made = make(store, "a")
    version = store.version
    assert store.modify(CONFIG_MAPS, ("n", "a"), lambda _: None) == made
    assert store.version == version


def test_a_stale_version_is_refused(store: Store) -> None:
    old = make(store, "a")
    store.modify(CONFIG_MAPS, ("n", "a"), lambda copy: copy.update(data={"k": "v"}))
    with pytest.raises(ApiError) as caught:
        store.replace(CONFIG_MAPS, {**old, "data": {"k": "w"}})
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


def test_what_was_read_never_changes(store: Store) -> None:
    read = make(store, "a")
    store.modify(CONFIG_MAPS, ("n", "a"), lambda copy: copy["metadata"].update(labels={"x": "y"}))
    assert "labels" not in read["metadata"]


def test_namespaces_are_apart(store: Store) -> None:
    for namespace in ("n", "n-1", "n1", "m"):
        make(store, "a", namespace=namespace)
    assert len(list(store.select(CONFIG_MAPS, "n", EVERYTHING))) == 1
    assert len(list(store.select(CONFIG_MAPS, None, EVERYTHING))) == 4


def page_names(
    store: Store, limit: int, token: str | None, selector: Selector = EVERYTHING
) -> tuple[str, str | None]:
    page = store.page(CONFIG_MAPS, "n", selector, limit=limit, token=token)
    return "".join(names(page.items)), page.next_token


def test_pages_cover_everything_once(store: Store) -> None:
    for name in "edcba":
        make(store, name)
    first = store.page(CONFIG_MAPS, "n", EVERYTHING, limit=2, token=None)
    assert (names(first.items), first.remaining) == (["a", "b"], 3)
    second = store.page(CONFIG_MAPS, "n", EVERYTHING, limit=2, token=first.next_token)
    assert (names(second.items), second.remaining) == (["c", "d"], 1)
    assert page_names(store, 2, second.next_token) == ("e", None)


def test_a_page_that_fits_exactly_is_the_last(store: Store) -> None:
    for name in "ab":
        make(store, name)
    assert page_names(store, 2, None) == ("ab", None)


def test_a_selector_fills_its_pages(store: Store) -> None:
    for number in range(10):
        make(store, f"o{number}", labels={"even": str(number % 2 == 0)})
    page = store.page(CONFIG_MAPS, "n", parse_selector(CONFIG_MAPS, "even=True", ""), limit=3, token=None)
    assert names(page.items) == ["o0", "o2", "o4"]
    assert page.remaining is None, "Kubernetes does not count the rest of a selected list"


def test_continued_pages_show_the_first_pages_state(store: Store) -> None:
    for name in "acegi":
        make(store, name)
    _, token = page_names(store, 2, None)
    make(store, "d")
    store.remove(CONFIG_MAPS, ("n", "e"))
    store.modify(CONFIG_MAPS, ("n", "g"), lambda copy: copy.update(data={"new": "yes"}))
    store.remove(CONFIG_MAPS, ("n", "i"))
    make(store, "i", labels={"second": "life"})
    page = store.page(CONFIG_MAPS, "n", EVERYTHING, limit=0, token=token)
    assert names(page.items) == ["e", "g", "i"]
    assert "data" not in page.items[1]
    assert "labels" not in page.items[2]["metadata"]
    assert page_names(store, 0, None)[0] == "acdgi"


def test_a_token_whose_state_is_forgotten_is_410() -> None:
    small = Store(lambda: NOW, history_length=5)
    for name in "abc":
        make(small, name)
    _, token = page_names(small, 1, None)
    for name in "uvwxyz":
        make(small, name)
    with pytest.raises(ApiError) as caught:
        page_names(small, 1, token)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


def test_a_watch_from_a_forgotten_version_is_refused() -> None:
    small = Store(lambda: NOW, history_length=5)
    for number in range(20):
        make(small, f"o{number}")

    async def listen(version: int) -> list[Obj]:
        watch = Watches(small).events(
            Scope(CONFIG_MAPS, "n", EVERYTHING),
            lambda obj: obj,
            version=str(version),
            initial=False,
            seconds=0,
        )
        return [json.loads(line) async for line in watch if line]

    [event] = asyncio.run(listen(2))
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert [one["type"] for one in asyncio.run(listen(small.version - 3))] == ["ADDED"] * 3


@pytest.mark.parametrize("token", ["bogus", "", "e30", "eyJydiI6IngifQ"])
def test_a_foreign_token_is_400(store: Store, token: str) -> None:
    make(store, "a")
    if not token:
        assert page_names(store, 1, token) == ("a", None)
        return
    with pytest.raises(ApiError) as caught:
        page_names(store, 1, token)
    assert caught.value.code == 400


def test_changes_are_published_with_the_state_before(store: Store) -> None:
    seen: list[Change] = []
    unsubscribe = store.subscribe(seen.append)
    make(store, "a")
    store.modify(CONFIG_MAPS, ("n", "a"), lambda copy: copy.update(data={"k": "v"}))
    store.remove(CONFIG_MAPS, ("n", "a"))
    unsubscribe()
    make(store, "b")
    assert [change.type for change in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert seen[1].previous == seen[0].obj
    assert [change.type for change in store.changes_after(seen[0].version)] == [
        "MODIFIED",
        "DELETED",
        "ADDED",
    ]


def test_owners_know_their_dependents(store: Store) -> None:
    owner = make(store, "o", resource=JOBS)
    uid = owner["metadata"]["uid"]
    make(store, "p", resource=PODS, ownerReferences=[{"uid": uid}])
    make(store, "c", ownerReferences=[{"uid": uid}])
    assert sorted(names([obj for _, obj in store.dependents(uid)])) == ["c", "p"]
    store.modify(PODS, ("n", "p"), lambda copy: copy["metadata"].pop("ownerReferences"))
    assert names([obj for _, obj in store.dependents(uid)]) == ["c"]
    assert store.find(uid) == (JOBS, owner)


def test_a_finalizer_holds_a_deleted_object_until_it_is_taken_away(store: Store) -> None:
    made = make(store, "a", finalizers=["example.com/hold"])
    held = delete(store, CONFIG_MAPS, made)
    assert held is not None
    assert held["metadata"]["deletionTimestamp"] == "2026-03-01T12:00:00Z"
    store.modify(CONFIG_MAPS, ("n", "a"), lambda copy: copy["metadata"].pop("finalizers"))
    assert store.get(CONFIG_MAPS, ("n", "a")) is None


@pytest.mark.parametrize(
    ("pod", "requested", "deadline"),
    [
        ({"spec": {"nodeName": "x"}, "status": {"phase": "Running"}}, None, "2026-03-01T12:00:30Z"),
        ({"spec": {"nodeName": "x"}, "status": {"phase": "Running"}}, 5, "2026-03-01T12:00:05Z"),
        ({"spec": {"nodeName": "x"}, "status": {"phase": "Running"}}, 0, None),
        ({"spec": {"nodeName": "x"}, "status": {"phase": "Failed"}}, None, None),
        ({"spec": {}, "status": {"phase": "Pending"}}, None, None),
    ],
)
def test_a_running_pod_has_a_grace_period(
    store: Store, pod: Obj, requested: int | None, deadline: str | None
) -> None:
    made = store.create(PODS, {"metadata": {"name": "p", "namespace": "n"}, **pod})
    left = delete(store, PODS, made, grace_seconds=requested)
    assert (left["metadata"]["deletionTimestamp"] if left else None) == deadline


def test_stamps_are_read_back_as_aware_times() -> None:
    assert parse_stamp("2026-03-01T12:00:00Z") == datetime(2026, 3, 1, 12, tzinfo=UTC)
