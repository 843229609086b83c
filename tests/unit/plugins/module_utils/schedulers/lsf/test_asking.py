"""LSF's requirement strings as chunks."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Chunk
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.lsf import asking

USUAL = "select[type == local] order[r15s:pg] "


def ask(text: str, slots: int = 1, gpus: int = 0, per_task: bool = True) -> asking.Request:
    return asking.request(USUAL + text, slots, gpus, per_task, "htc")


@pytest.mark.parametrize(
    ("text", "slots", "chunks", "spread"),
    [
        ("", 1, (Chunk(1, 1),), "free"),
        ("", 6, (Chunk(6, 1),), "free"),
        ("span[hosts=1]", 6, (Chunk(1, 6),), "free"),
        ("span[ptile=4]", 8, (Chunk(2, 4),), "scatter"),
        ("span[ptile=4]", 10, (Chunk(2, 4), Chunk(1, 2)), "scatter"),
        ("span[ptile=4]", 3, (Chunk(1, 3),), "free"),
        ("span[block=4]", 8, (Chunk(2, 4),), "free"),
        ("span[hosts=-1]", 4, (Chunk(4, 1),), "free"),
    ],
)
def test_span_says_which_slots_are_on_one_host(text: str, slots: int, chunks: tuple[Chunk, ...], spread: str) -> None:
    found = ask(text, slots)
    assert (found.chunks, found.spread) == (chunks, spread)


@pytest.mark.parametrize(
    ("text", "per_task", "memory"),
    [
        ("rusage[mem=1000] span[hosts=1]", True, 4000),
        ("rusage[mem=1000] span[hosts=1]", False, 1000),
        ("rusage[mem=1000/host] span[hosts=1]", True, 1000),
        ("rusage[mem=1000/task] span[hosts=1]", False, 4000),
        ("rusage[mem=4G:duration=10] span[hosts=1]", False, 4096),
        ("rusage[mem=1000.00,lic=1:duration=2] span[hosts=1]", False, 1000),
        ("rusage[mem=500 || mem=900] span[hosts=1]", False, 500),
        ("rusage[mem=1000]", True, 1000),
        ("rusage[mem=1000]", False, 250),
        ("select[mem>2000] rusage[mem=1000] span[hosts=1]", False, 2000),
    ],
)
def test_memory_is_counted_as_lsf_reserves_it(text: str, per_task: bool, memory: int) -> None:
    assert ask(text, 4, per_task=per_task).chunks[0].memory_mib == memory


def test_gpus_are_of_each_host_unless_they_say_otherwise() -> None:
    assert ask("span[ptile=4]", 8, gpus=2).chunks == (Chunk(2, 4, gpus=2),)
    assert ask("rusage[ngpus_physical=2.00] span[hosts=1]", 4).chunks == (Chunk(1, 4, gpus=2),)
    assert ask("rusage[ngpus=1/task] span[hosts=1]", 4).chunks == (Chunk(1, 4, gpus=4),)
    assert ask("", 4, gpus=1).chunks == (Chunk(1, 1, gpus=1), Chunk(3, 1))


def test_selections_become_labels_and_those_that_all_machines_meet_do_not() -> None:
    text = "select[(node_array==hpc) && ib && placement_group=='hpc_hb_pg1' && (q_htc) && (ut<0.5) && maxmem>100]"
    labels = (("ib", "true"), ("node_array", "hpc"), ("placement_group", "hpc-hb-pg1"))
    assert ask(text).chunks[0].labels == labels


def test_a_queue_of_others_is_a_label_that_no_machine_has() -> None:
    assert ask("select[q_gpu]").chunks[0].labels == (("q_gpu", "true"),)


@pytest.mark.parametrize("same", ["placement_group", "node_array:vm_size", "model"])
def test_hosts_that_have_to_be_alike_are_in_one_group(same: str) -> None:
    assert ask(f"span[ptile=4] same[{same}]", 8).one_group
    assert not ask(f"span[hosts=1] same[{same}]", 8).one_group
    assert not ask("span[ptile=4] same[type]", 8).one_group


def test_compound_requirements_are_chunks_of_their_own() -> None:
    found = asking.request("1*{select[ib] rusage[mem=100]} + 4*{span[ptile=2]}", 5, 0, False, "htc")
    assert found.chunks == (Chunk(1, 1, 100, labels=(("ib", "true"),)), Chunk(2, 2))


def test_affinity_order_and_compute_units_change_nothing() -> None:
    assert ask("affinity[core(2):cpubind=core] cu[type=rack]", 2).chunks == (Chunk(2, 1),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select[ib || gpu]", "has alternatives"),
        ("select[!ib]", "is not understood"),
        ("select[ncpus>=8]", "ncpus>=8 is not understood"),
        ("select[rack==7]", "rack==7 is not understood"),
        ("rusage[mem=lots]", "'lots' is not an amount of memory"),
        ("span[hosts=1", "has no end"),
        ("1*{select[ib]} || 2*{span[ptile=2]}", "has alternatives"),
    ],
)
def test_what_could_choose_other_hosts_and_is_not_understood_is_said(text: str, words: str) -> None:
    with pytest.raises(asking.RequestError, match=words.replace("(", r"\(")):
        ask(text)


def test_a_requirement_without_a_section_is_a_selection() -> None:
    assert asking.request("ib order[ut]", 1, 0, False).chunks[0].labels == (("ib", "true"),)
