"""The program that brings PBS's configuration into line: what it tells qmgr."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from tests.unit.roles.programs import ROLES, load

FIXTURES = Path(__file__).parents[2] / "fixtures/openpbs/04-nodes-free-custom-resources"
configure = load("openpbs_configure", ROLES / "openpbs/files/configure")
STATE = configure.read((FIXTURES / "qmgr-print-server.txt").read_text(), (FIXTURES / "qmgr-list-sched.txt").read_text())
NOTHING = {"resources": {}, "queues": [], "server": {}, "sched": {}}


def test_the_state_is_what_pbs_prints() -> None:
    assert STATE.resources["ngpus"] == {"type": "long", "flag": "hn"}
    assert STATE.queues["gpuq"]["max_run"] == "[u:PBS_GENERIC=2]"
    assert STATE.queues["routeq"]["route_destinations"] == "htcq,workq"
    assert STATE.server["scheduler_iteration"] == "60"
    assert "do_not_span_psets" in STATE.sched


def test_a_new_server_gets_resources_first_and_then_what_needs_them() -> None:
    wanted = {
        "resources": {"Qlist": {"type": "string_array", "flag": "h"}, "lic": {"type": "long", "flag": "q"}},
        "queues": [{"name": "htc", "default": True, "attributes": {"started": "True", "default_chunk.Qlist": "htc"}}],
        "server": {"max_run": "[u:PBS_GENERIC=2]"},
        "sched": {"do_not_span_psets": "True"},
    }
    assert configure.directives(wanted, configure.read("", "")) == [
        "create resource Qlist type=string_array,flag=h",
        "create resource lic type=long,flag=q",
        "create queue htc queue_type=Execution",
        "set queue htc default_chunk.Qlist = htc",
        "set queue htc started = True",
        "set server default_queue = htc",
        'set server max_run = "[u:PBS_GENERIC=2]"',
        "set sched do_not_span_psets = True",
    ]


def test_what_is_there_already_is_not_written_again() -> None:
    wanted = {
        "resources": {"ngpus": {"type": "long", "flag": "nh"}, "slot_type": {"type": "string", "flag": "h"}},
        "queues": [
            {"name": "gpuq", "default": False, "attributes": {"max_run": "[u:PBS_GENERIC=2]", "started": "true"}}
        ],
        "server": {"scheduler_iteration": "60", "resources_default.ncpus": "1"},
        "sched": {},
    }
    assert configure.directives(wanted, STATE) == []


def test_only_what_differs_is_written() -> None:
    wanted = {**NOTHING, "server": {"scheduler_iteration": "30", "scheduling": "True"}}
    assert configure.directives(wanted, STATE) == ["set server scheduler_iteration = 30"]


def test_a_resource_of_another_type_is_an_error_not_a_surprise() -> None:
    wanted = {**NOTHING, "resources": {"ngpus": {"type": "string", "flag": "h"}}}
    with pytest.raises(configure.ConfigureError, match="ngpus is of type long already, not string"):
        configure.directives(wanted, STATE)


def fake_qmgr(folder: Path, answer: str = "") -> Path:
    """A qmgr that shows the recorded server and notes everything else."""
    (folder / "bin").mkdir()
    program = folder / "bin/qmgr"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\nsaid = sys.argv[2]\n"
        f"names = {{'print server': 'qmgr-print-server.txt', 'list sched': 'qmgr-list-sched.txt'}}\n"
        f"if said in names: print(pathlib.Path({str(FIXTURES)!r}, names[said]).read_text())\n"
        f"else:\n open({str(folder / 'told')!r}, 'a').write(said + '\\n')\n sys.exit({answer!r} or 0)\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = folder / "wanted.json"
    path.write_text(json.dumps({**NOTHING, "exec": str(folder), "server": {"scheduler_iteration": "30"}}))
    return path


def test_the_program_says_whether_it_changed_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert configure.main([str(fake_qmgr(tmp_path))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "changed"
    assert (tmp_path / "told").read_text() == "set server scheduler_iteration = 30\n"
    (tmp_path / "wanted.json").write_text(json.dumps({**NOTHING, "exec": str(tmp_path)}))
    assert configure.main([str(tmp_path / "wanted.json")]) == 0
    assert capsys.readouterr().out == "unchanged\n"


def test_a_refusal_is_told_in_the_words_of_pbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert configure.main([str(fake_qmgr(tmp_path, "qmgr obj= svr=default: Unauthorized Request"))]) == 1
    said = capsys.readouterr().err
    assert "set server scheduler_iteration = 30" in said
    assert "Unauthorized Request" in said
