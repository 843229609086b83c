"""What a first disk says, what a capture forgets, and how layers are kept."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest

from sandbox.machines import MachineError, MachineSpec
from sandbox.machines.disks import Images, generalise, machine_id, seed, write_first_disk

SPEC = MachineSpec(
    arm_id="/subscriptions/s/vm/head", vnet_id="/v", computer_name="head", private_ip="10.20.0.4",
    mac="60-45-BD-14-00-04", admin_username="azureuser", ssh_public_keys=("ssh-ed25519 AAAA one", "ssh-rsa BBBB two"),
    custom_data=b"#cloud-config\nusers: [default, {name: eve}]\n", vm_id="0f0e0d0c-0000-4000-8000-000000000001",
)  # fmt: skip


def test_custom_data_reaches_cloud_init_byte_for_byte() -> None:
    data = bytes(range(256))
    files = seed(dataclasses.replace(SPEC, custom_data=data))
    assert files["var/lib/cloud/seed/nocloud/user-data"] == data


def test_the_seed_names_the_instance_the_host_and_the_keys() -> None:
    metadata = json.loads(seed(SPEC)["var/lib/cloud/seed/nocloud/meta-data"])
    assert metadata == {
        "instance-id": SPEC.vm_id,
        "local-hostname": "head",
        "public-keys": ["ssh-ed25519 AAAA one", "ssh-rsa BBBB two"],
    }


def test_a_hostile_user_name_stays_a_value() -> None:
    spec = dataclasses.replace(SPEC, admin_username='x"}\nruncmd: [reboot]')
    [admin] = [content for name, content in seed(spec).items() if name.endswith("admin.cfg")]
    assert json.loads(admin)["system_info"]["default_user"]["name"] == spec.admin_username
    assert b"\nruncmd" not in admin


def test_a_recreated_machine_is_another_instance() -> None:
    again = dataclasses.replace(SPEC, vm_id="0f0e0d0c-0000-4000-8000-000000000002")
    assert machine_id(SPEC) != machine_id(again)
    assert len(machine_id(SPEC)) == 32


def test_directories_of_the_first_disk_do_not_hide_the_mode_of_the_images(tmp_path: Path) -> None:
    write_first_disk(SPEC, tmp_path / "upper")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "upper").rglob("*") if path.is_dir()}
    assert modes == {0o755}
    assert stat.S_IMODE((tmp_path / "upper/var/lib/cloud/seed/nocloud/user-data").stat().st_mode) == 0o600


def test_a_capture_forgets_who_the_machine_was_and_keeps_what_was_installed(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    write_first_disk(SPEC, upper)
    kept, lost = ["usr/bin/slurmd", "etc/slurm/slurm.conf"], ["etc/ssh/ssh_host_ed25519_key", "var/log/cloud-init.log"]
    for name in [*kept, *lost, "var/log/journal/1/system.journal"]:
        (upper / name).parent.mkdir(parents=True, exist_ok=True)
        (upper / name).write_text("x")
    generalise(upper)
    assert sorted(str(path.relative_to(upper)) for path in upper.rglob("*") if path.is_file()) == sorted(kept)


def test_a_captured_image_stands_on_the_layers_of_its_machine(tmp_path: Path) -> None:
    images = Images(tmp_path / "images", tmp_path / "base")
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/file").write_text("x")
    below = images.layers("debian-13")
    layers = images.capture("/images/one", tmp_path / "upper", below)
    assert layers == images.layers("/IMAGES/one")
    assert layers[1:] == [str(tmp_path / "base")]
    assert (Path(layers[0]) / "file").read_text() == "x"
    assert list((tmp_path / "upper").iterdir()) == []


def test_an_image_of_a_machine_that_runs_is_a_copy(tmp_path: Path) -> None:
    images = Images(tmp_path / "images", tmp_path / "base")
    write_first_disk(SPEC, tmp_path / "upper")
    (tmp_path / "upper/file").write_text("x")
    below = images.layers("debian-13")
    images.copy("/images/one", tmp_path / "upper", below)
    assert (tmp_path / "upper/file").read_text() == "x"
    assert (tmp_path / "upper/var/lib/cloud/seed").is_dir()
    root, *rest = images.layers("/images/one")
    assert rest == below
    assert [path.name for path in Path(root).rglob("*") if path.is_file()] == ["file"]
    with pytest.raises(MachineError, match="cannot copy"):
        images.copy("/images/two", tmp_path / "nothing", below)
    with pytest.raises(MachineError, match="ImageNotFound"):
        images.layers("/images/two")


def test_a_deleted_image_stays_until_nothing_stands_on_it(tmp_path: Path) -> None:
    images = Images(tmp_path / "images", tmp_path / "base")
    (tmp_path / "upper").mkdir()
    first = images.capture("/images/one", tmp_path / "upper", images.layers(""))
    second = images.capture("/images/two", tmp_path / "upper", first)
    images.delete("/images/one")
    with pytest.raises(MachineError, match="ImageNotFound"):
        images.layers("/images/one")
    images.collect(set())
    assert Path(first[0]).exists()
    images.delete("/images/two")
    images.collect({second[0]})
    assert Path(second[0]).exists()
    images.collect(set())
    assert not Path(second[0]).exists()
    assert not Path(first[0]).exists()


def test_an_image_may_be_captured_again_after_its_deletion_only(tmp_path: Path) -> None:
    images = Images(tmp_path / "images", tmp_path / "base")
    (tmp_path / "upper").mkdir()
    first = images.capture("/images/one", tmp_path / "upper", images.layers(""))
    with pytest.raises(MachineError, match="Conflict"):
        images.capture("/images/ONE", tmp_path / "upper", images.layers(""))
    images.delete("/images/one")
    assert images.capture("/images/one", tmp_path / "upper", images.layers(""))[0] != first[0]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_size_with_gpus_has_their_device_files(tmp_path: Path, count: int) -> None:
    write_first_disk(dataclasses.replace(SPEC, gpus=count), tmp_path / "upper")
    lines = (tmp_path / "upper/etc/tmpfiles.d/sandbox-gpus.conf").read_text().splitlines()
    assert [line.split()[1] for line in lines if not line.startswith("#")] == [
        f"/dev/nvidia{number}" for number in range(count)
    ]
