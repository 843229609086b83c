"""In place of qconf: what it keeps, as the real one keeps and prints it."""

from __future__ import annotations

from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures" / "gridengine" / "cluster"
TEMPLATE = {
    "qname": "template",
    "hostlist": "NONE",
    "pe_list": "make",
    "slots": "1",
    "h_rt": "INFINITY",
    "tmpdir": "/tmp",
}


class Qconf:
    """A cell that was just made. ``changes`` are the commands that changed something."""

    def __init__(self) -> None:
        self.complexes = {
            line.split()[0]: line for line in (FIXTURES / "complexes.txt").read_text().splitlines() if line[:1] != "#"
        }
        for name in ("gpu", "exclusive", "node_array", "vm_size", "priority", "placement_group", "hpc_drain"):
            self.complexes.pop(name, None)
        self.objects: dict[str, dict[str, dict[str, str]]] = {"q": {}, "p": {}, "hgrp": {}}
        self.settings = {
            "conf": {"load_sensor": "none", "max_u_jobs": "0", "max_unheard": "00:05:00"},
            "sconf": {"algorithm": "default", "schedule_interval": "0:0:15"},
        }
        self.submit_hosts: list[str] = []
        self.changes: list[str] = []

    def __call__(self, *words: str, fails: bool = False) -> str:
        option, rest = words[0], words[1:]
        shown = self._show(option, rest)
        if shown is not None:
            return shown
        self.changes.append(" ".join(words))
        if option in ("-aattr", "-dattr"):
            group = self.objects["hgrp"][rest[3]]
            now = [one for one in group["hostlist"].split() if one not in ("NONE", rest[2])]
            group["hostlist"] = " ".join([*now, rest[2]] if option == "-aattr" else now) or "NONE"
        elif option == "-as":
            self.submit_hosts += rest[0].split(",")
        elif option in ("-dq", "-dp", "-dhgrp"):
            del self.objects[option[2:]][rest[0]]
        return ""

    def _show(self, option: str, rest: tuple[str, ...]) -> str | None:
        lists = {"-sql": "q", "-spl": "p", "-shgrpl": "hgrp"}
        if option == "-sc":
            return "\n".join(["#name shortcut ...", *self.complexes.values()])
        if option == "-ss":
            return "\n".join(self.submit_hosts)
        if option in lists:
            return "\n".join(self.objects[lists[option]])
        if option == "-sq" and not rest:
            return _text(TEMPLATE)
        if option in ("-sq", "-sp", "-shgrp"):
            found = self.objects[option[2:]].get(rest[0])
            return _text(found) if found else ""
        if option in ("-sconf", "-ssconf"):
            return _text(self.settings[option[2:]])
        return None

    def file(self, option: str, text: str, name: str = "wanted") -> None:
        """A file that is handed to it."""
        self.changes.append(f"{option} {name}")
        if option == "-Mc":
            self.complexes = {line.split()[0]: line for line in text.splitlines()}
            return
        values = dict(line.split(" ", 1) for line in text.splitlines())
        if option in ("-Mconf", "-Msconf"):
            assert option == "-Msconf" or name == "global", "it takes the name of the file for the name of a host"
            self.settings[option[2:]] = values
            return
        kind = option[2:]
        self.objects[kind][values[{"q": "qname", "p": "pe_name", "hgrp": "group_name"}[kind]]] = values


def _text(values: dict[str, str]) -> str:
    return "".join(f"{name:<20}  {value}\n" for name, value in values.items())
