# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine becomes part of a pool: everything but the daemons themselves."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.programs import ROLES, Commands, load

join = load("htcondor_join", ROLES / "htcondor/files/join")
node = join.node
SET = "demo-hpc-hb120rsv3-pg1"
LABELS = {
    "node_array": "hpc",
    "vm_size": "hb120rsv3",
    "placement_group": "hpc-hb120rsv3-pg1",
    "priority": "spot",
    "ib": "true",
}
OFFER = {"cpus": 120, "memory_mib": 435814, "gpus": 0, "labels": LABELS}


def configuration(**more: Any) -> Any:
    usual = {
        "schedd": "schedd@demo", "settings": {"CONDOR_HOST": "demo-head"}, "options": {"hpc": {"CLAIM_WORKLIFE": "60"}},
        "offers": {SET: OFFER},
    }  # fmt: skip
    return join.Configuration(cluster="demo", head="demo-head", private="/srv/private", **{**usual, **more})


def identity(scale_set: str = SET) -> Any:
    return node.Identity("/subscriptions/x", ("10.20.16.4",), scale_set)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("SETTINGS", "SITE", "NEEDED"):
        monkeypatch.setattr(join, name, tmp_path / f"{name}.conf")
    for name, where in (("TOKEN", "tokens.d/azure_hpc"), ("KEY", "passwords.d/NODES")):
        monkeypatch.setattr(join, name, tmp_path / where)
    monkeypatch.setattr(node, "RUN", tmp_path / "run")
    return tmp_path


def test_a_machine_offers_what_its_scale_set_promised() -> None:
    assert join.offer_of(configuration(), identity("DEMO-HPC-hb120rsv3-pg1")) == OFFER
    with pytest.raises(join.JoinError, match="no scale set 'other'"):
        join.offer_of(configuration(), identity("other"))


def test_jobs_can_ask_for_every_label_and_for_what_a_site_says_of_its_machines() -> None:
    found = join.needed(
        configuration(attributes={"HasTelescope": True, "Site": 'a "b"'}), OFFER, "hpc-1.x", ["10.0.0.4"]
    )
    assert (found["NUM_CPUS"], found["MEMORY"]) == ("120", "435814")
    assert (found["node_array"], found["ib"], found["HasTelescope"], found["Site"]) == (
        '"hpc"',
        "True",
        "True",
        '"a \\"b\\""',
    )
    labels = "ib=true,node_array=hpc,placement_group=hpc-hb120rsv3-pg1,priority=spot,vm_size=hb120rsv3"
    assert found["HpcLabels"] == f'"{labels}"'
    names = set(found["STARTD_ATTRS"].split())
    assert names >= {*LABELS, "HasTelescope", "Site", "HpcLabels", "ParallelSchedulingGroup", "DedicatedScheduler"}
    assert found["DedicatedScheduler"] == '"DedicatedScheduler@schedd@demo"'


def test_commands_are_taken_from_the_head_alone() -> None:
    found = join.needed(configuration(), OFFER, "hpc-1.x", ["10.20.0.4", "127.0.0.1"])
    assert found["ALLOW_DAEMON"] == "condor@*/10.20.0.4 condor@*/127.0.0.1"
    assert "*/*" not in found["ALLOW_ADMINISTRATOR"]


def test_a_site_wins_over_the_defaults_and_what_passes_rely_on_over_the_site(folder: Path) -> None:
    assert join.configure(configuration(), OFFER, "hpc-1.x", ["10.20.0.4"]) is True
    assert join.configure(configuration(), OFFER, "hpc-1.x", ["10.20.0.4"]) is False
    assert "CLAIM_WORKLIFE = 60\n" in (folder / "SITE.conf").read_text()
    assert "CONDOR_HOST = demo-head\n" in (folder / "SITE.conf").read_text()
    assert "use ROLE : Execute\n" in (folder / "SETTINGS.conf").read_text()
    assert "NUM_CPUS = 120\n" in (folder / "NEEDED.conf").read_text()
    changed = configuration(options={"hpc": {"CLAIM_WORKLIFE": "61"}})
    assert join.configure(changed, OFFER, "hpc-1.x", ["10.20.0.4"]) is True


def test_options_of_other_arrays_are_not_this_machines(folder: Path) -> None:
    join.configure(configuration(options={"htc": {"A": "1"}}), OFFER, "hpc-1.x", [])
    assert "A = 1" not in (folder / "SITE.conf").read_text()


def test_gpus_are_found_by_htcondor_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "run", Commands({join.DISCOVERY: ['DetectedGPUs="GPU-1234"\n']}))
    assert list(join.gpu_settings(1)) == ["MACHINE_RESOURCE_INVENTORY_GPUS"]


@pytest.mark.parametrize("answer", ["DetectedGPUs=0\n", node.JoinError("not there")])
def test_gpus_are_their_device_files_where_htcondor_finds_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any
) -> None:
    monkeypatch.setattr(node, "run", Commands({join.DISCOVERY: [answer]}))
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    assert join.gpu_settings(2, tmp_path) == {"MACHINE_RESOURCE_GPUS": "CUDA0, CUDA1"}
    with pytest.raises(join.JoinError, match="should have 3 GPUs and has 2"):
        join.gpu_settings(3, tmp_path)


def test_a_machine_without_gpus_asks_for_none() -> None:
    assert join.gpu_settings(0) == {}


def test_secrets_come_from_the_private_export_and_are_roots_alone(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def mount(*argv: str, **_unused: Any) -> str:
        if argv[0] == "mount":
            (Path(argv[-1]) / "htcondor.token").write_text("token")
            (Path(argv[-1]) / "htcondor.key").write_bytes(b"k" * 64)
        return ""

    monkeypatch.setattr(node, "run", mount)
    assert join.fetch_secrets(configuration()) is True
    for path in (join.TOKEN, join.KEY):
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert join.fetch_secrets(configuration()) is False


def test_a_head_that_does_not_answer_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = node.JoinError("condor_status -startd ended with 1: communication error")
    monkeypatch.setattr(node, "run", Commands({"condor_status": [busy, "", "hpc-1.x\n"]}))
    assert [join.answers("hpc-1.x") for _number in range(3)] == [False, False, True]
