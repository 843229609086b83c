"""Host lists and back."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import hostlist
from hypothesis import given
from hypothesis import strategies as st

names = st.from_regex(r"[a-z]{1,4}(-[a-z0-9]{1,3})?(-[0-9]{1,4})?", fullmatch=True)


@given(st.lists(names, max_size=60))
def test_compressed_names_expand_to_themselves(given_names: list[str]) -> None:
    assert sorted(hostlist.expand(hostlist.compress(given_names))) == sorted(set(given_names))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("head", ("head",)),
        ("htc-[1-3,7],hpc-1", ("htc-1", "htc-2", "htc-3", "htc-7", "hpc-1")),
        ("n[08-10]", ("n08", "n09", "n10")),
        ("rack[1-2]-x", ("rack1-x", "rack2-x")),
    ],
)
def test_host_lists_are_read_as_slurm_writes_them(text: str, expected: tuple[str, ...]) -> None:
    assert hostlist.expand(text) == expected


def test_neighbours_become_ranges_in_the_order_of_numbers() -> None:
    assert hostlist.compress(["b-10", "b-2", "a", "b-1", "b-3", "b-2"]) == "a,b-[1-3,10]"


@pytest.mark.parametrize("text", ["a[1-", "a[x]", "a[3-1]", "a[1-99999999]", "a b", "a[1][2]"])
def test_what_is_no_host_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        hostlist.expand(text)
