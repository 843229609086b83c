# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that tells Prometheus about the queue. A timer runs it on the head; it reads, writes two files and ends.

The one is for the node exporter's textfile collector, the other lists the nodes that Prometheus asks. Settings are
JSON: ``scheduler``, ``custom`` (what the definition says of a site's own scheduler), ``cluster``, ``kinds`` (see
`metrics.Kind`), ``textfile``, ``targets``, ``port`` (of the node exporter), ``decision_log``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import kinds as _kinds
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import metrics, passlog, run, scheduler

Json = dict[str, t.Any]
SETTINGS = "/etc/azure_hpc/metrics.json"


def main(argv: t.Sequence[str] | None = None) -> int:
    """Write what there is to tell. Status 1 if the queue could not be read; what is known of that is written, too."""
    given = list(sys.argv[1:] if argv is None else argv)
    with open(given[0] if given else SETTINGS, encoding="utf-8") as file:
        settings = json.load(file)
    began = time.monotonic()
    queue = observe(settings)
    families = metrics.of_reading(queue, time.monotonic() - began)
    families += passlog.families(settings.get("decision_log") or "", settings.get("cluster") or "")
    if not queue.errors:
        nodes = tuple(metrics.Kind(**one) for one in settings.get("kinds") or ())
        families += metrics.of_queue(queue, nodes)
        found = metrics.targets(queue, nodes, settings.get("cluster") or "", int(settings.get("port") or 9100))
        write(settings["targets"], json.dumps(found, indent=1, sort_keys=True) + "\n")
    write(settings["textfile"], metrics.text(families))
    sys.stderr.writelines(f"{error}\n" for error in queue.errors)
    return 1 if queue.errors else 0


def observe(settings: Json) -> Queue:
    """The queue now. What goes wrong is in its ``errors``."""
    name, custom = settings["scheduler"], settings.get("custom")
    kind = scheduler(name, _kinds.options(custom))
    outputs = run.outputs(kind)
    queue = kind.parse(outputs, int(time.time()))
    if name != "custom" or queue.errors:
        return queue
    # Elsewhere that is the controller's business: it takes a library that the role installs only where it is needed.
    from ansible_collections.azure_hpc.cluster.plugins.module_utils import described

    plain = {**serial.dump(queue), "outputs": {key: output.stdout for key, output in outputs.items()}}
    return described.queue(plain, _kinds.options(custom) or {})


def write(path: str, text: str) -> None:
    """Replace a file at once, so that whoever reads it sees the old one or the new one; not if nothing changed."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except OSError:
        pass
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".azure_hpc")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError:
        os.unlink(beside)
        raise
