"""How users of OpenPBS say things, and what the role does on the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tests.stand_ins.install import ROOT, Bench
from tests.stand_ins.openpbs import programs, server, show
from tests.stand_ins.site import Ask, Words
from tests.unit.roles.programs import load


class OpenPbs(Words):
    """OpenPBS: select and place statements."""

    kind = "openpbs"
    definition: ClassVar[dict[str, Any]] = {"scheduler": {"type": "openpbs"}}

    def prepare(self, bench: Bench, queues: Sequence[Any], features: Sequence[str]) -> None:
        """Run the role's own program against the stand-in's qmgr, with what its template says."""
        configure = load("openpbs_configure", ROOT / "roles/openpbs/files/configure")
        labels = {name: {"type": "string", "flag": "h"} for name in ("node_array", "vm_size", "priority", "group_id")}
        wanted = {
            "exec": str(bench.bin.parent),
            "resources": {
                **labels,
                "Qlist": {"type": "string_array", "flag": "h"},
                "ngpus": {"type": "long", "flag": "nh"},
                "azure_hpc_drain": {"type": "string", "flag": "h"},
                "azure_hpc_address": {"type": "string", "flag": "h"},
                "licence": {"type": "long", "flag": "q"},
                **{name: {"type": "boolean", "flag": "h"} for name in features},
            },
            "server": {
                "node_group_enable": "True",
                "node_group_key": "group_id",
                "default_chunk.ncpus": "1",
                "resources_available.licence": "1",
            },
            "sched": {"only_explicit_psets": "True", "do_not_span_psets": "True"},
            "queues": [
                {
                    "name": queue.name,
                    "default": queue.default,
                    "attributes": {"enabled": "True", "started": "True", "default_chunk.Qlist": queue.name},
                }
                for queue in queues
            ],
        }
        with bench.cluster() as cluster:
            state = configure.read(show.print_server(cluster), show.list_sched(cluster))
            for directive in configure.directives(wanted, state):
                programs.qmgr(cluster, ["-c", directive])
            state = configure.read(show.print_server(cluster), show.list_sched(cluster))
        left = configure.directives(wanted, state)
        if left:
            raise AssertionError(f"a second run would change something: {left}")

    def submit(self, ask: Ask) -> list[str]:
        parts = [str(ask.nodes), f"ncpus={ask.cpus}", *([f"ngpus={ask.gpus}"] if ask.gpus else [])]
        place = ("scatter" if ask.nodes > 1 else "free") + (":excl" if ask.exclusive else "")
        words = ["qsub", "-q", ask.array, "-l", f"select={':'.join(parts)}", "-l", f"place={place}"]
        words += ["-N", ask.name] if ask.name else []
        words += ["-h"] if ask.hold else []
        limit = f"%{ask.at_once}" if ask.at_once else ""
        words += ["-J", f"1-{ask.tasks}{limit}"] if ask.tasks else []
        return [*words, "--", "/bin/sleep", str(ask.seconds)]

    def identity(self, output: str) -> str:
        return output.strip()

    def reason(self, identity: str) -> list[str]:
        return ["qstat", "-fw"]

    def advance(self, bench: Bench, seconds: int) -> None:
        with bench.cluster() as cluster:
            server.advance(cluster, seconds)

    def restart(self, bench: Bench) -> None:
        with bench.cluster() as cluster:
            server.restart(cluster)
