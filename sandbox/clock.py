# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time that the sandbox lives in: the host's, or a virtual one that stands still, runs faster, or jumps.

There is one clock for the process, ``clock``. Whatever tells, measures or waits for Azure's time asks it and nobody
else; what waits for the host (a process, a socket) does not.

A jump goes from one due time to the next, and at each lets all work end that it has set off before it goes on: an
operation of 75 seconds ends 75 seconds after its beginning, however far the jump goes. For that the clock counts the
work that is under way. Threads that work enter and leave; one that waits for the clock, by ``sleep`` or ``pause``,
does not count meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)
PATIENCE = 300.0
"""Real seconds that a jump waits at a due time for work that does not end: machines that boot do so in real time."""
SETTLE = 0.003
"""Real seconds in which a thread takes over from one that it has waited for."""


@dataclass(order=True)
class Alarm:
    """What happens at a time of the clock."""

    due: float
    number: int
    call: Callable[[], Any] | None = field(compare=False)

    def cancel(self) -> None:
        self.call = None


@dataclass(eq=False)  # each is itself, however alike they are
class _Pause:
    counted: bool
    over: bool = False


class Clock:
    """See the module. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._advancing = threading.Lock()
        self._virtual, self._rate, self._leap = False, 1.0, False
        # The virtual time at a moment of the host's monotonic clock.
        self._origin = (0.0, 0.0)
        self._alarms: list[Alarm] = []
        self._numbers = itertools.count()
        self._pauses: list[_Pause] = []
        self._busy = self._watching = self._happened = 0
        self._local = threading.local()
        self._thread: threading.Thread | None = None

    # telling

    def now(self) -> float:
        if not self._virtual:
            return time.time()
        at, since = self._origin
        return at + (time.monotonic() - since) * self._rate

    @property
    def virtual(self) -> bool:
        return self._virtual

    @property
    def leap(self) -> bool:
        """Whether whoever is told to wait is taken for having waited."""
        return self._virtual and self._leap

    def real_seconds(self, seconds: float) -> float:
        """How long a client has to wait, by its own clock, for so many seconds of ours to pass.

        Where the clock stands, the client's is expected to stand, too.
        """
        return seconds / self._rate if self._rate > 0 else seconds

    def describe(self) -> dict[str, Any]:
        """``now``, ``virtual``, ``rate`` (0: it stands) and ``leap``."""
        return {"now": self.now(), "virtual": self._virtual, "rate": self._rate, "leap": self.leap}

    # setting

    def real(self) -> None:
        """The host's time. What waits goes on waiting for as long as it still had to."""
        self._set(False, 1.0, False, None)

    def stop(self, at: float | None = None, *, leap: bool = False) -> None:
        """A virtual time that stands, at the present one or at another."""
        self._set(True, 0.0, leap, at)

    def run(self, rate: float, at: float | None = None) -> None:
        """A virtual time that runs so many times as fast. ValueError if that is not more than 0."""
        if not rate > 0:
            raise ValueError("the rate of a clock that runs is more than 0")
        self._set(True, rate, False, at)

    def _set(self, virtual: bool, rate: float, leap: bool, at: float | None) -> None:
        with self._changed:
            before = self.now()
            self._origin = (before if at is None else at, time.monotonic())
            self._virtual, self._rate, self._leap = virtual, rate, leap
            shift = self.now() - before
            for alarm in self._alarms:
                alarm.due += shift
            self._changed.notify_all()

    # waiting

    def later(self, seconds: float, call: Callable[[], Any]) -> Alarm:
        """Call something quick after so many seconds of this clock; it must not block."""
        with self._changed:
            alarm = Alarm(self.now() + seconds, next(self._numbers), call)
            heapq.heappush(self._alarms, alarm)
            if self._thread is None:
                self._thread = threading.Thread(target=self._ring, name="clock", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return alarm

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds of this clock."""
        if seconds <= 0:
            return
        until = self.now() + seconds
        self.later(seconds, lambda: None)
        while self.now() < until:
            self.pause(60.0)

    def pause(self, seconds: float) -> None:
        """Block for a moment, to look again then: until something has happened by this clock, or work has ended, and
        at most for so many seconds of the host's.
        """
        if not self._virtual:
            # An alarm may be what is waited for; it rings for everybody.
            seconds = min(seconds, 0.5)
        counted = getattr(self._local, "counted", False)
        mine = _Pause(counted)
        with self._changed:
            # What has happened since this thread last looked would not wake it.
            if getattr(self._local, "seen", -1) == self._happened:
                self._pauses.append(mine)
                self._count(-counted)
                self._changed.wait_for(lambda: mine.over, seconds)
                if not mine.over:
                    self._pauses.remove(mine)
                    self._count(counted)
            self._local.seen = self._happened

    # counting what is under way

    def enter(self) -> None:
        """Something has been set off: it counts until the thread that does it leaves. See ``working``."""
        with self._changed:
            self._count(1)

    def leave(self) -> None:
        """What has been set off has ended, or will never be done."""
        with self._changed:
            self._wake()
            self._count(-1)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A thread does what somebody has entered for it."""
        self._local.counted = True
        try:
            yield
        finally:
            self._local.counted = False
            self.leave()

    def worker[**P, T](self, work: Callable[P, T]) -> Callable[P, T]:
        """The work for a thread of a pool; it counts from now on, until it ends."""
        self.enter()

        def do(*args: P.args, **given: P.kwargs) -> T:
            with self.working():
                return work(*args, **given)

        return do

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A thread that works waits for others that do; it does not count meanwhile."""
        counted = getattr(self._local, "counted", False)
        with self._changed:
            self._count(-counted)
            self._watching += 1
        try:
            yield
        finally:
            with self._changed:
                self._watching -= 1
                self._count(counted)

    def _count(self, change: int) -> None:
        self._busy += change
        if change and not self._busy:
            self._changed.notify_all()

    def _wake(self) -> None:
        """Something has happened: all that pause look again. They count from now on, before they have woken."""
        self._happened += 1
        for pause in self._pauses:
            pause.over = True
            self._busy += pause.counted
        self._pauses.clear()
        self._changed.notify_all()

    # passing

    def advance(self, seconds: float) -> float:
        """Jump ahead, from one due time to the next, and let what happens there end. Answers the time then.

        ValueError for a clock that is not virtual, and for a jump back.
        """
        if not self._virtual or seconds < 0:
            raise ValueError("only a virtual clock can be advanced, and only ahead")
        with self._advancing:
            until = self.now() + seconds
            self._quiet()
            while True:
                with self._changed:
                    due = self._next()
                    if due is None or due > until:
                        break
                    self._origin = (max(due, self.now()), time.monotonic())
                self._fire()
                self._quiet()
            with self._changed:
                self._origin = (max(until, self.now()), time.monotonic())
                self._wake()
            self._quiet()
            return self.now()

    def _quiet(self) -> None:
        """Wait until nothing is under way."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with self._changed:
                self._changed.wait_for(lambda: self._busy <= 0, until - time.monotonic())
                if not self._watching:
                    return
            time.sleep(SETTLE)
            with self._changed:
                if self._busy <= 0:
                    return

    def _next(self) -> float | None:
        while self._alarms and self._alarms[0].call is None:
            heapq.heappop(self._alarms)
        return self._alarms[0].due if self._alarms else None

    def _fire(self) -> None:
        """Ring what is due."""
        calls = []
        with self._changed:
            now = self.now()
            while self._alarms and self._alarms[0].due <= now:
                calls.append(heapq.heappop(self._alarms).call)
        for call in calls:
            try:
                if call is not None:
                    call()
            except Exception:  # time goes on, whatever it brings
                log.exception("what was due failed")
        if calls:
            with self._changed:
                self._wake()

    def _ring(self) -> None:
        """The thread that lets time pass where the clock runs by itself."""
        while True:
            self._fire()
            with self._changed:
                due = self._next()
                if due is None or self._rate <= 0:
                    self._changed.wait()
                elif due > self.now():
                    self._changed.wait(min((due - self.now()) / self._rate, 3600.0))


clock = Clock()
