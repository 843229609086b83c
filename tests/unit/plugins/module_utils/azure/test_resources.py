"""Comparing documents: what differs, what a PATCH sends, what is kept."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import (
    differences,
    merged,
    subset,
    tag_differences,
)
from hypothesis import given
from hypothesis import strategies as st

ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v"


def _name(item: t.Any) -> str:
    return str(item["name"])


leaves = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b", "/x/Y", ""]), st.booleans())
documents = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["p", "q", "r"]), inner, max_size=3),
        st.lists(st.fixed_dictionaries({"name": st.sampled_from("uvw"), "value": inner}), max_size=3, unique_by=_name),
    ),
    max_leaves=8,
)


def paths(wanted: t.Any, actual: t.Any) -> list[str]:
    return [".".join(one.path) for one in differences(wanted, actual)]


def test_what_only_azure_knows_is_no_difference() -> None:
    assert paths({"location": "westeurope"}, {"location": "westeurope", "etag": "x", "properties": {"a": 1}}) == []


def test_a_difference_says_where_and_what() -> None:
    (found,) = differences({"sku": {"name": "B"}}, {"sku": {"name": "A"}})
    assert (found.path, found.before, found.after) == (("sku", "name"), "A", "B")


def test_resource_ids_and_locations_are_the_same_in_any_case() -> None:
    wanted = {"location": "westeurope", "subnet": {"id": ID}, "users": {ID: {}}}
    assert paths(wanted, {"location": "West Europe", "subnet": {"id": ID.upper()}, "users": {ID.lower(): {}}}) == []


def test_keys_and_tags_are_not_the_same_in_another_case() -> None:
    assert paths({"keyData": "AbC"}, {"keyData": "abc"}) == ["keyData"]
    assert paths({"tags": {"a": "X"}}, {"tags": {"a": "x"}}) == ["tags.a"]


def test_named_items_are_paired_in_any_order() -> None:
    actual = [{"name": "b", "v": 2}, {"name": "A", "v": 1}]
    assert paths({"rules": [{"name": "a", "v": 1}, {"name": "b", "v": 3}]}, {"rules": actual}) == ["rules.b.v"]


def test_items_too_many_and_too_few_are_differences() -> None:
    assert paths([{"name": "a"}], [{"name": "a"}, {"name": "b"}]) == ["b"]
    assert paths([{"name": "a"}, {"name": "b"}], [{"name": "a"}]) == ["b"]


def test_nothing_wanted_and_nothing_there_is_no_difference() -> None:
    assert paths({"a": None, "b": "", "c": [], "d": False}, {}) == []
    assert paths({"a": None}, {"a": {"id": "x"}}) == ["a"]
    assert paths({"d": True}, {}) == ["d"]


def test_a_patch_holds_only_what_differs_and_lists_as_a_whole() -> None:
    wanted = {"sku": {"name": "A"}, "properties": {"x": 1, "list": [{"name": "n", "v": 2}, {"name": "m", "v": 1}]}}
    actual = {"sku": {"name": "A"}, "properties": {"x": 1, "list": [{"name": "n", "v": 1}, {"name": "m", "v": 1}]}}
    assert subset(wanted, list(differences(wanted, actual))) == {"properties": {"list": wanted["properties"]["list"]}}


def test_an_image_reference_is_patched_as_a_whole() -> None:
    wanted = {"p": {"imageReference": {"offer": "debian", "sku": "13"}}}
    actual = {"p": {"imageReference": {"offer": "debian", "sku": "12"}}}
    assert subset(wanted, list(differences(wanted, actual))) == wanted


def test_tags_that_others_set_are_kept() -> None:
    assert tag_differences({"a": 1}, {"hpc-unavailable": "x"}) == {"a": "1", "hpc-unavailable": "x"}
    assert tag_differences({"a": "1"}, {"a": "1", "b": "2"}) == {}
    assert tag_differences(None, None) == {}


@given(wanted=documents, actual=documents)
def test_writing_what_is_wanted_leaves_no_difference(wanted: t.Any, actual: t.Any) -> None:
    before = copy.deepcopy((wanted, actual))
    assert list(differences(wanted, merged(actual, wanted))) == []
    assert (wanted, actual) == before


@given(document=documents)
def test_a_document_does_not_differ_from_itself(document: t.Any) -> None:
    assert list(differences(document, document)) == []
