# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``python -m sandbox up|status|env|fault|down``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox import fault_cli, machines
from sandbox.state import StateDirectory, default_path, identify, start_time

START_TIMEOUT = 900
STOP_TIMEOUT = 60
CLOCK_TIMEOUT = 3600


def main(arguments: list[str] | None = None) -> int:
    """Run one command; answers the exit status."""
    options = _parser().parse_args(arguments)
    state = StateDirectory(options.state)
    try:
        status: int = options.run(state, options)
    except LookupError as error:
        print(f"sandbox: {error.args[0]}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="A local Azure.")
    parser.add_argument("--state", type=Path, default=default_path(), metavar="DIR", help="where it keeps everything")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start it in the background")
    up.add_argument("--driver", choices=machines.DRIVERS, default=None, help="what a machine is (default: record)")
    up.add_argument(
        "--time-scale", type=float, default=None, metavar="F", help="1: Azure's latencies, 0: none (default: 1)"
    )
    up.add_argument("--foreground", action="store_true", help="stay, and stop with Ctrl-C")
    up.add_argument("--ephemeral", action="store_true", help="remove the state when it goes down")
    up.add_argument(
        "--owner", type=int, default=0, metavar="PID", help="go down when this process ends, however it ends"
    )
    up.set_defaults(run=_up)
    status = commands.add_parser("status", help="what runs, what exists, what was asked")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)
    env = commands.add_parser("env", help="the environment for clients, for eval in a shell")
    env.add_argument("--json", action="store_true")
    env.set_defaults(run=_env)
    token = commands.add_parser("token", help="an access token for Resource Manager, for use with curl")
    token.set_defaults(run=_token)
    _clock_parser(commands.add_parser("clock", help="the time that it lives in: show, stop, run, advance"))
    permissions = commands.add_parser(
        "permissions", help="the actions that requests have needed, as a role for az role definition create"
    )
    permissions.add_argument("--forget", action="store_true", help="begin anew after this")
    permissions.set_defaults(run=_permissions)
    fault_cli.add_parsers(commands.add_parser("fault", help="script what goes wrong"), ask)
    down = commands.add_parser("down", help="stop it and take the machines down")
    down.add_argument("--wipe", action="store_true", help="remove the state, too")
    down.set_defaults(run=_down)
    for command in commands.choices.values():
        # Accepted before and after the command; the later one wins only if it is given.
        command.add_argument("--state", type=Path, default=argparse.SUPPRESS, metavar="DIR", help=argparse.SUPPRESS)
    return parser


def _clock_parser(clock: argparse.ArgumentParser) -> None:
    actions = clock.add_subparsers(metavar="ACTION")
    stop = actions.add_parser("stop", help="a virtual time that stands still, and moves by advance only")
    stop.add_argument("--at", type=_moment, metavar="TIME", help="such as 2026-01-01T00:00:00Z (default: now)")
    stop.add_argument("--leap", action="store_true", help="advance by what clients are told to wait, and let them not")
    run = actions.add_parser("run", help="a virtual time that runs faster, or slower")
    run.add_argument("rate", type=float, help="times as fast as the host's")
    run.add_argument("--at", type=_moment, metavar="TIME")
    advance = actions.add_parser("advance", help="jump ahead, and let happen what is due until then")
    advance.add_argument("seconds", type=float)
    actions.add_parser("real", help="the host's time again")
    for name, action in actions.choices.items():
        action.set_defaults(do=name)
        action.add_argument("--state", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    clock.set_defaults(run=_clock, do="")


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _clock(state: StateDirectory, options: argparse.Namespace) -> int:
    names = {"stop": ("at", "leap"), "run": ("rate", "at"), "advance": ("seconds",)}.get(options.do, ())
    wanted = {"do": options.do, **{name: getattr(options, name) for name in names}} if options.do else None
    found = ask(state, "clock", wanted, timeout=CLOCK_TIMEOUT)
    how = "the host's time"
    if found["virtual"]:
        how = f"virtual, {found['rate']:g} times as fast" if found["rate"] else "virtual, stands still"
    how += ", leaps over waits" * found["leap"]
    print(f"{datetime.fromtimestamp(found['now'], UTC):%Y-%m-%dT%H:%M:%S.%fZ} ({how})")
    return 0


def _up(state: StateDirectory, options: argparse.Namespace) -> int:
    state.make()
    pid = state.running()
    if pid:
        print(f"sandbox: already running (pid {pid}, {state.path})")
        return 0
    before = state.server()
    driver = options.driver or before.get("driver", "record")
    time_scale = options.time_scale if options.time_scale is not None else before.get("time_scale", 1.0)
    if options.foreground:
        return _serve_here(state, driver, time_scale, options)
    return _serve_behind(state, driver, time_scale, options)


def _serve_here(state: StateDirectory, driver: str, time_scale: float, options: argparse.Namespace) -> int:
    # Only the server needs these (0.3 s to import); status, env and fault stay quick without.
    from sandbox import server

    try:
        server.serve(state, driver=driver, time_scale=time_scale, ephemeral=options.ephemeral, owner=options.owner)
    except server.AlreadyRunning:
        print(f"sandbox: another server holds {state.path}", file=sys.stderr)
    except machines.MachineError as error:
        print(f"sandbox: {error.message}", file=sys.stderr)
    return 1


def _serve_behind(state: StateDirectory, driver: str, time_scale: float, options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "sandbox", "--state", str(state.path), "up", "--foreground"]
    command += ["--driver", driver, "--time-scale", str(time_scale), *(["--ephemeral"] if options.ephemeral else [])]
    command += ["--owner", str(options.owner)]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    environment = {k: v for k, v in environment.items() if k.lower() not in ("https_proxy", "http_proxy", "all_proxy")}
    began = time.monotonic()
    with state.log.open("ab") as log:
        offset = log.tell()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment, cwd=root
        )
    state.starting.write_text(identify(child.pid))
    shown = offset
    while state.running() != child.pid:
        shown = _relay(state, shown)
        if child.poll() is not None:
            return _lost(state, offset)
        if time.monotonic() - began > START_TIMEOUT:
            child.terminate()
            print(f"sandbox: did not start within {START_TIMEOUT} s, see {state.log}", file=sys.stderr)
            return 1
        time.sleep(0.05)
    about = state.server()
    print(
        f"sandbox: up in {time.monotonic() - began:.1f} s (pid {child.pid}, driver {driver}, time scale {time_scale:g})"
    )
    print(
        f"sandbox: state in {state.path}, proxy on 127.0.0.1:{about['proxy_port']}, TLS on "
        f"127.0.0.1:{about['tls_port']}"
    )
    print(f'sandbox: eval "$(python -m sandbox --state {shlex.quote(str(state.path))} env)" points any client to it')
    return 0


def _relay(state: StateDirectory, offset: int) -> int:
    """Show what the server says that it is busy with; answers how far its log has been read."""
    with state.log.open("rb") as log:
        log.seek(offset)
        for line in log:
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            _unused, marked, text = line.decode(errors="replace").partition(" INFO sandbox: ")
            if marked:
                print(f"sandbox: {text.rstrip()}", flush=True)
    return offset


def _lost(state: StateDirectory, offset: int) -> int:
    """Our server has ended: because another one was quicker, or because it cannot run here."""
    while state.holder() and not state.running():
        time.sleep(0.05)
    pid = state.running()
    if pid:
        print(f"sandbox: already running (pid {pid}, {state.path})")
        return 0
    print(state.log.read_bytes()[offset:].decode(errors="replace"), file=sys.stderr, end="")
    print(f"sandbox: did not start, see {state.log}", file=sys.stderr)
    return 1


def _status(state: StateDirectory, options: argparse.Namespace) -> int:
    about, pid = state.server(), state.running()
    described: dict[str, Any] = {"running": bool(pid), "state": str(state.path), **about}
    if pid:
        described |= ask(state, "status")
    if options.json:
        print(json.dumps(described, indent=2))
        return 0
    if not pid:
        print(f"sandbox: not running ({state.path})")
        return 0
    print(f"sandbox: running (pid {pid}, driver {about['driver']}, time scale {about['time_scale']:g}, {state.path})")
    print(f"  proxy 127.0.0.1:{about['proxy_port']}  TLS 127.0.0.1:{about['tls_port']}  up {described['uptime']:.0f} s")
    for title in ("resources", "requests", "machines"):
        print(f"{title}:")
        for name, value in described[title].items():
            print(f"  {value!s:>8}  {name}")
    print(f"operations running: {described['operations_running']}, fault rules: {described['faults']}")
    return 0


def _env(state: StateDirectory, options: argparse.Namespace) -> int:
    environment = state.environment()
    if options.json:
        print(json.dumps(environment, indent=2))
    else:
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


def _token(state: StateDirectory, options: argparse.Namespace) -> int:
    print(ask(state, "token")["token"])
    return 0


def _permissions(state: StateDirectory, options: argparse.Namespace) -> int:
    found = ask(state, "permissions", {"forget": options.forget})
    scopes = sorted({scope for places in found.values() for scope in places})
    role = {
        "Name": "What was needed",
        "IsCustom": True,
        "Description": "The actions that have been asked for, on all of the scopes together",
        "Actions": sorted(found),
        "NotActions": [],
        "AssignableScopes": scopes,
    }
    print(json.dumps(role, indent=2))
    return 0


def _down(state: StateDirectory, options: argparse.Namespace) -> int:
    about, pid = state.server(), state.running() or state.holder()
    if pid:
        os.kill(pid, signal.SIGTERM)
        if not _gone(pid, STOP_TIMEOUT):
            os.kill(pid, signal.SIGKILL)
            _gone(pid, 5)
        print(f"sandbox: stopped (pid {pid})")
    else:
        print(f"sandbox: not running ({state.path})")
    for line in _take_down(state, about.get("driver", "")):
        print(f"sandbox: removed {line}")
    if options.wipe or about.get("ephemeral"):
        state.wipe()
        print(f"sandbox: removed {state.path}")
    return 0


def _take_down(state: StateDirectory, driver: str) -> list[str]:
    """What a killed server may have left; the record driver never leaves anything."""
    if driver == "record" or not state.path.exists() or os.geteuid() != 0:
        return []
    return machines.take_down(state.path)


def _gone(pid: int, seconds: float) -> bool:
    started, until = start_time(pid), time.monotonic() + seconds
    while started and start_time(pid) == started:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def ask(state: StateDirectory, command: str, body: Any = None, timeout: float = 30) -> Any:
    """Ask the running server. Raises LookupError with its reason if there is none or it refuses."""
    if not state.running():
        raise LookupError(f"no sandbox is running in {state.path}")
    context = ssl.create_default_context(cafile=str(state.ca))
    request = urllib.request.Request(
        f"https://127.0.0.1:{state.server()['tls_port']}/sandbox/{command}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {state.admin_token()}", "Content-Type": "application/json"},
        method="POST",
    )
    # An empty ProxyHandler: the caller's environment may well point to a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise LookupError(json.load(error)["error"]["message"]) from None
    except OSError as error:
        raise LookupError(f"the sandbox does not answer: {error}") from None
