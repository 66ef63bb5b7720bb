"""The supervisor: forks the doorkeeper and the workers, replaces those that die, and ends them in peace.

It stays small: what a worker imports is imported after the fork. Only a model that may be loaded before the fork, for
several workers, is loaded here: the workers then have the same pages of memory, which the operating system copies only
where one of them writes. `gc.freeze` keeps the garbage collector from writing to them; reference counts still do, so
that small Python objects part with time, while the arrays that a model mostly consists of stay shared.

A model that cannot be loaded ends the server with the code of the worker that found out. After a worker has been ready
once, one that dies is replaced, sooner or later: at once at first, less and less often where it keeps dying.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from modelport.core.errors import Error
from modelport.server.child_processes import die_with_parent, end_of, ended, usual_cause
from modelport.server.doorkeeper import OPEN, SHUT, Doorkeeper
from modelport.server.notices import complaint, notice

READY, GO = b"R", b"G"
BACKLOG = 2048

_STEADY_S = 60.0  # a worker that was ready for so long did not die of how it started
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
_BEYOND_DRAIN_S = 2.0
_ANSWER_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Work(Protocol):
    """What a worker process does, until SIGTERM; returns its exit code."""

    def __call__(self, *, number: int, listener: socket.socket, link: socket.socket, loaded: object) -> int:
        """Serve on the listener after `link` was told READY and has answered GO.

        Args:
            number: which worker it is, from 0; a replacement has the number of the dead one.
            listener: the listening socket.
            link: to the supervisor; it ends when that is gone.
            loaded: what was loaded before the fork, or None.
        """
        ...


@dataclass(frozen=True)
class Plan:
    """What to supervise."""

    workers: int
    health_route: str
    drain_s: float


@dataclass(slots=True)
class _Worker:
    number: int
    link: socket.socket
    ready_since: float | None = None


def pause_s(deaths: int) -> float:
    """Return how long to wait before the replacement after so many deaths in a row."""
    return float(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(deaths - 1, 20)))


class Supervisor:
    """Runs until it is told to end, or until it is clear that the model cannot be served."""

    def __init__(
        self,
        plan: Plan,
        listener: socket.socket,
        work: Work,
        preload: Callable[[], object] | None = None,
    ) -> None:
        self._plan = plan
        self._listener = listener
        self._work = work
        self._preload = preload
        self._loaded: object = None
        self._selector = selectors.DefaultSelector()
        self._signals, self._wakeup = socket.socketpair()
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}  # when workers by their number are to be started
        self._deaths = 0
        self._was_ready = False
        self._doorkeeper = 0
        self._door: socket.socket | None = None
        self._loading = False
        self._told_to_end = False

    def run(self) -> int:
        """Return the exit code of the server."""
        self._hear_signals()
        try:
            self._open_door()
            if self._preload is not None:
                self._load(self._preload)
            for number in range(self._plan.workers):
                self._start(number)
            return self._supervise()
        except Error as error:
            sys.stderr.write(complaint(error))
            return 1
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            self._kill_all()

    def _load(self, preload: Callable[[], object]) -> None:
        self._loading = True
        if self._told_to_end:
            raise SystemExit(0)
        self._loaded = preload()
        self._loading = False
        gc.collect()
        gc.freeze()

    # Signals: but for loading, the bytes that they leave in a socket are what is looked at, between other events.

    def _hear_signals(self) -> None:
        for end in (self._signals, self._wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for one in _SIGNALS:
            signal.signal(one, self._on_signal)
        self._selector.register(self._signals, selectors.EVENT_READ)

    def _on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGCHLD:
            return
        self._told_to_end = True
        # Nothing else can end loading a model: the first process of a container does not die of SIGTERM by itself.
        if self._loading:
            raise SystemExit(0)

    def _supervise(self) -> int:
        while True:
            soonest = min(self._due.values(), default=None)
            timeout = None if soonest is None else max(0.0, soonest - time.monotonic())
            for key, _ in self._selector.select(timeout):
                if key.fileobj is self._signals:
                    caught = set(self._signals.recv(4096))
                    if caught & {signal.SIGTERM, signal.SIGINT}:
                        return self._stop()
                else:
                    self._hear(key.data)
            # Not only where a SIGCHLD was seen: several of them may leave one byte.
            for pid, status in ended():
                code = self._died(pid, status)
                if code is not None:
                    return code
            self._start_those_due()

    def _start_those_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            self._start(number)

    def _start(self, number: int) -> None:
        pid, link = self._fork(
            lambda link: self._work(number=number, listener=self._listener, link=link, loaded=self._loaded)
        )
        self._workers[pid] = _Worker(number, link)
        self._selector.register(link, selectors.EVENT_READ, self._workers[pid])

    def _hear(self, worker: _Worker) -> None:
        try:
            said = worker.link.recv(1)
        except OSError:
            said = b""
        if said == READY:
            # It begins to accept after the doorkeeper has ceased to.
            self._order(SHUT)
            worker.ready_since = time.monotonic()
            self._was_ready = True
            with contextlib.suppress(OSError):  # it died in between
                worker.link.send(GO)
        else:
            self._selector.unregister(worker.link)  # it is dying: its status follows

    def _died(self, pid: int, status: int) -> int | None:
        """Take note of the end of a process; return the server's exit code where that is its end too."""
        if pid == self._doorkeeper:
            self._doorkeeper = 0
            if not self._any_ready():
                self._open_door()
            return None
        worker = self._workers.pop(pid, None)
        if worker is None:
            return None  # an orphan of a worker's, left to us where we are the first process of a container
        self._forget(worker)
        code, how = end_of(status)
        if not self._was_ready:
            if code > 128:
                notice(f"worker {pid} {how} while it loaded the model{usual_cause(code)}")
            return code or 1
        if not self._any_ready():
            self._order(OPEN)
        if worker.ready_since is not None and time.monotonic() - worker.ready_since > _STEADY_S:
            self._deaths = 0
        self._deaths += 1
        pause = pause_s(self._deaths)
        notice(f"worker {pid} {how}{usual_cause(code)}; another is started in {pause:g} s")
        self._due[worker.number] = time.monotonic() + pause
        return None

    def _any_ready(self) -> bool:
        return any(worker.ready_since is not None for worker in self._workers.values())

    def _forget(self, worker: _Worker) -> None:
        if worker.link in self._selector.get_map():
            self._selector.unregister(worker.link)
        worker.link.close()

    # The doorkeeper.

    def _open_door(self) -> None:
        if self._door is not None:
            self._door.close()
        self._doorkeeper, self._door = self._fork(self._keep_door)
        self._door.settimeout(_ANSWER_S)
        self._order(OPEN)

    def _keep_door(self, orders: socket.socket) -> int:
        Doorkeeper(self._listener, orders, self._plan.health_route).run()
        return 0

    def _order(self, order: bytes) -> None:
        assert self._door is not None
        try:
            self._door.send(order)
            self._door.recv(1)
        except OSError:
            return  # it is dead: the next who asks finds a new one

    # Processes.

    def _fork(self, body: Callable[[socket.socket], int]) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        # A signal that came to the child before it has parted with our handlers would be told to us, and lost to it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            theirs.close()
            return pid, ours
        code = 1
        try:
            ours.close()
            self._become_child(parent)
            code = body(theirs)
        except Error as error:
            sys.stderr.write(complaint(error))
        except BaseException:  # whatever ends a process must be seen, and must not run on in the supervisor's code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _become_child(self, parent: int) -> None:
        """Part with what is the supervisor's: signals first, then the links to the other processes."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Ctrl-C goes to all processes of a terminal; it is the supervisor who ends the others.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        die_with_parent(parent)
        self._selector.close()
        for end in (self._signals, self._wakeup, self._door, *(worker.link for worker in self._workers.values())):
            if end is not None:
                end.close()

    def _stop(self) -> int:
        self._listener.close()
        if self._doorkeeper:
            os.kill(self._doorkeeper, signal.SIGKILL)
        for pid, worker in self._workers.items():
            os.kill(pid, signal.SIGTERM)
            # One that has just become ready waits for an answer, and hears no signal meanwhile: this is the answer.
            with contextlib.suppress(OSError):  # it is dead already
                worker.link.shutdown(socket.SHUT_WR)
        until = time.monotonic() + self._plan.drain_s + _BEYOND_DRAIN_S
        for key in [key for key in self._selector.get_map().values() if key.fileobj is not self._signals]:
            self._selector.unregister(key.fileobj)
        while self._workers and (left := until - time.monotonic()) > 0:
            if self._selector.select(left):
                caught = set(self._signals.recv(4096))
                if caught & {signal.SIGTERM, signal.SIGINT}:
                    notice("told to end a second time: running requests are cut off")
                    break
            for pid, _ in ended():
                self._workers.pop(pid, None)
        return 0

    def _kill_all(self) -> None:
        for pid in (*self._workers, self._doorkeeper):
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue
