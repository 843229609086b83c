"""Names come from ids alone, fit the kernel, and never collide by accident."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.machines import cleanup, names


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 32767))
def test_interface_names_fit_into_fifteen_characters(state: str, resource: str, slot: int) -> None:
    prefix = names.STEM + names.digest(state, 6)
    for name in (names.uplink(prefix, slot), names.bridge(resource), names.port(resource)):
        assert len(name) <= 15


def test_the_case_of_a_resource_id_does_not_count() -> None:
    assert names.port("/subscriptions/A/VM") == names.port("/SUBSCRIPTIONS/a/vm")


def test_state_directories_have_different_prefixes(tmp_path: Path) -> None:
    assert names.prefix_of(tmp_path / "a") != names.prefix_of(tmp_path / "b")


def test_a_prefix_does_not_depend_on_how_the_directory_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert names.prefix_of(tmp_path / "a") == names.prefix_of(tmp_path / "link")
    assert names.is_prefix(names.prefix_of(tmp_path / "a"))


@pytest.mark.parametrize("text", ["", "azs", "eth", "azs12345", "azs1234567", "azsGGGGGG", "azs12345*"])
def test_nothing_is_swept_by_a_text_that_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        cleanup.sweep(text)
