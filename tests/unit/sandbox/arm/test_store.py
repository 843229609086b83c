# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.arm.store import Resource, Store

GROUP = "/subscriptions/s/resourceGroups/g"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def vm(name: str, sort: int = 0) -> Resource:
    return Resource(f"{VM}/{name}", {"id": f"{VM}/{name}", "name": name}, sort=sort)


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = Store(tmp_path / "state.db")
    first.put(vm("a"))
    second = Store(tmp_path / "state.db")
    read = second.get(f"{VM}/A".upper().replace("/SUBSCRIPTIONS", "/subscriptions"))
    assert read is not None
    assert (read.body["name"], read.version) == ("a", 1)
    first.close()
    second.close()


def test_a_failed_transaction_leaves_nothing_and_calls_nothing(store: Store) -> None:
    called: list[str] = []

    def fail() -> None:
        with store.transaction():
            store.put(vm("a"))
            store.after_commit(lambda: called.append("a"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.transaction():
        store.after_commit(lambda: called.append("b"))
        assert called == []
    assert (store.get(f"{VM}/a"), called) == (None, ["b"])


def test_a_nested_transaction_is_committed_with_the_outer_one(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            with store.transaction():
                store.put(vm("a"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not store.exists(f"{VM}/a")


def test_updates_of_many_threads_are_all_kept(store: Store) -> None:
    store.put(vm("a"))

    def count() -> None:
        for _unused in range(25):
            store.update(f"{VM}/a", lambda found: found.internal.update(n=found.internal.get("n", 0) + 1))

    threads = [threading.Thread(target=count) for _unused in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = store.get(f"{VM}/a")
    assert read is not None
    assert read.internal == {"n": 200}


def test_threads_that_end_leave_no_open_files(store: Store) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def run(count: int) -> None:
        threads = [threading.Thread(target=store.counts) for _unused in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    before = open_files()
    for _unused in range(10):
        run(20)
    # SQLite keeps a few descriptors for the next connection to the same file; a leak would be 400.
    assert open_files() < before + 60


def test_deleting_takes_what_is_nested_and_not_what_only_begins_alike(store: Store) -> None:
    store.put(vm("a"), vm("ab"), Resource(f"{VM}/a/extensions/e", {}), Resource(f"{VM}/a/extensions/e/x/y", {}))
    store.delete(f"{VM}/a")
    assert store.counts() == {"microsoft.compute/virtualmachines": 1}


def test_lists_are_ordered_by_number_and_cut_into_pages(store: Store) -> None:
    store.put(*(vm(f"v{number}", sort=number) for number in (10, 9, 2, 1)))
    names = [r.body["name"] for r in store.list("Microsoft.Compute/virtualMachines", group="G", offset=1, limit=2)]
    assert names == ["v2", "v9"]


def test_numbers_are_never_given_twice(store: Store) -> None:
    given = [store.next_number("instances", 3), store.next_number("instances"), store.next_number("instances", 2)]
    assert given == [0, 3, 4]


def test_a_list_can_tell_what_was_there_before(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    head = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Test/things"

    def names(moment: float | None) -> list[tuple[str, int]]:
        with store.as_of(moment):
            return [(found.rid.name, found.body["n"]) for found in store.list("Microsoft.Test/things", group="g")]

    store.keep_history(True)
    store.put(Resource(f"{head}/a", {"n": 1}), Resource(f"{head}/b", {"n": 1}))
    time.sleep(0.02)
    before = time.time()
    time.sleep(0.02)
    store.put(Resource(f"{head}/a", {"n": 2}), Resource(f"{head}/c", {"n": 1}))
    store.delete(f"{head}/b")
    assert names(None) == [("a", 2), ("c", 1)]
    assert names(before) == [("a", 1), ("b", 1)]
    with store.as_of(before):
        assert [found.rid.name for found in store.in_scope("s", "g")] == ["a", "b"]
    store.keep_history(False)
    assert names(before) == []
    store.close()
