#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: slurm_accounting."""

from __future__ import annotations

DOCUMENTATION = r"""
module: slurm_accounting
short_description: Accounts, quality of service, limits and users of Slurm
version_added: 0.1.0
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
description:
  - Makes slurmdbd have the accounts, quality of service (QOS), limits and users that a cluster definition names.
  - Runs on a machine that has sacctmgr, as somebody who may change the accounting, usually root on the head node.
    Needs no library beside Python.
  - What is not named is left alone; a limit that is not named any more stays. Set it to V(-1) to lift it.
options:
  cluster:
    description: Slurm's name of the cluster. It is added if slurmdbd does not know it.
    type: str
    required: true
  qos:
    description: Quality of service.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name.
        type: str
        required: true
      options:
        description: Limits and other options, by the names that the manual of sacctmgr has for them.
        type: dict
        default: {}
      state:
        description: Whether there is such a QOS.
        type: str
        choices: [present, absent]
        default: present
  accounts:
    description: Accounts.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name, in lower case.
        type: str
        required: true
      parent:
        description: The account above it.
        type: str
        default: root
      description:
        description: What it is, the name if empty. Slurm keeps it in lower case.
        type: str
        default: ""
      organization:
        description: Whose it is, the name if empty. Slurm keeps it in lower case.
        type: str
        default: ""
      qos:
        description: The QOS that its users may ask for. Not changed if empty.
        type: list
        elements: str
        default: []
      options:
        description: Limits, by the names that the manual of sacctmgr has for them.
        type: dict
        default: {}
      state:
        description: Whether there is such an account.
        type: str
        choices: [present, absent]
        default: present
  users:
    description: Users and the accounts that their jobs may run under.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the account on the machines.
        type: str
        required: true
      accounts:
        description: All accounts of the user. Other associations of the user end. Needed unless absent.
        type: list
        elements: str
        default: []
      default_account:
        description: The account of jobs that name none, the first of the accounts if empty.
        type: str
        default: ""
      admin:
        description: What the user may do to the accounting itself.
        type: str
        choices: [none, operator, administrator]
        default: none
      options:
        description: Limits in each of the accounts.
        type: dict
        default: {}
      state:
        description: Whether slurmdbd knows the user.
        type: str
        choices: [present, absent]
        default: present
attributes:
  check_mode:
    support: full
    description: Says what it would change, without changing anything.
  diff_mode:
    support: full
    description: Says in diff mode what differs.
  idempotent:
    support: full
    description: A second run with the same options changes nothing.
"""

EXAMPLES = r"""
- name: Physics may use 480 cores at a time, and long jobs
  azure_hpc.cluster.slurm_accounting:
    cluster: demo
    qos:
      - name: long
        options: {MaxWall: 7-00:00:00, Priority: 10}
    accounts:
      - name: physics
        qos: [normal, long]
        options: {GrpTRES: cpu=480}
    users:
      - name: alice
        accounts: [physics]
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [add account physics, add user alice to account physics]
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import Arguments, build, finish
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, run, scheduler
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.slurm import accounting

_STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
_NAMES = {"type": "list", "elements": "str", "default": []}
_COMMON = {"name": {"type": "str", "required": True}, "options": {"type": "dict", "default": {}}, "state": _STATE}


def _list(**options: object) -> dict[str, object]:
    return {"type": "list", "elements": "dict", "default": [], "options": {**_COMMON, **options}}


ARGUMENTS = Arguments(
    {
        "cluster": {"type": "str", "required": True},
        "qos": _list(),
        "accounts": _list(
            parent={"type": "str", "default": "root"},
            description={"type": "str", "default": ""},
            organization={"type": "str", "default": ""},
            qos=_NAMES,
        ),
        "users": _list(
            accounts=_NAMES,
            default_account={"type": "str", "default": ""},
            admin={"type": "str", "choices": ["none", "operator", "administrator"], "default": "none"},
        ),
    }
)


def main() -> None:
    """Run the module."""
    module = build(ARGUMENTS)
    cluster, execute = module.params["cluster"], run.runner(scheduler("slurm"))
    try:
        wanted = accounting.complete(module.params)
        outputs = {command.key: execute(command) for command in accounting.observe(wanted, cluster)}
        changes = accounting.changes(wanted, accounting.read(wanted, outputs), cluster)
    except accounting.AccountingError as error:
        module.fail_json(msg=str(error))
    done: list[str] = []
    for change in () if module.check_mode else changes:
        output = execute(Command("change", change.argv))
        said = (output.stderr or output.stdout).strip()[:1000]
        if output.status != 0:
            module.fail_json(msg=f"cannot {change.says}: {said}", changed=bool(done), changes=done)
        done.append(change.says)
    all_of_them = [change.says for change in changes]
    finish(module, bool(changes), None, all_of_them or None, changes=all_of_them)


if __name__ == "__main__":
    main()
