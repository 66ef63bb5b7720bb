"""A model server behind the listener for all its life: started, watched, started again where it ends, and ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGTERM

import anyio

from modelport.server.child_processes import usual_cause
from modelport.server.listener.children import health
from modelport.server.listener.children.child import Child, NotStarted
from modelport.server.listener.children.child_environment import child_command, child_environment
from modelport.server.listener.children.health import Phase, Standing
from modelport.server.listener.children.probe import Asks, Probe
from modelport.server.listener.declaration import Server, WhenItEnds
from modelport.server.listener.notices import notice
from modelport.server.listener.times import Times
from modelport.server.supervisor import pause_s

_STEADY_S = 60.0  # a server that was ready for so long did not end because of how it started
_FIRST_LOOK_S, _SLOWER, _LONGEST_LOOK_S = 0.02, 1.5, 1.0  # between looks at one that starts


class ModelServer:
    """Runs one declared server, or only watches it where somebody else runs it.

    Attributes:
        server: what was declared.
        standing: how it stands now.
        restarts: how often it was started again.
        answered: when it last answered a request, by the clock; kept, like the next, by whoever sends them.
        times: how long requests to it took.
    """

    def __init__(
        self,
        server: Server,
        asks: Asks,
        environ: Mapping[str, str],
        over: Callable[[int], None],
        *,
        patience_s: float,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what it needs; nothing is started yet.

        Args:
            server: what was declared.
            asks: for looks at its health, and for nothing else: they must not wait for requests.
            environ: the variables of the listener.
            over: called, with the exit code, where its end is the listener's.
            patience_s: the longest that a request to it may take.
            folder: that it is started in; None: the listener's own.
            clock: tells seconds.
        """
        self.server = server
        self.standing = health.started(clock())
        self.restarts = 0
        self.answered = 0.0
        self.times = Times()
        self._probe = Probe(asks, server.health, clock)
        self._environ = child_environment(server, environ)
        self._command = child_command(server, self._environ)
        self._over = over
        self._patience_s = patience_s
        self._folder = folder
        self._clock = clock
        self._child: Child | None = None
        self._was_ready = False
        self._ending = False
        self._deaths = 0

    @property
    def pid(self) -> int:
        """Return the id of its process, 0 where there is none."""
        return self._child.pid if self._child is not None else 0

    async def run(self) -> None:
        """Start and watch it until `stop`, or until it is clear that it cannot be served."""
        if not self.server.command:
            await self._watch(None)
            return
        try:
            while not self._ending:
                pause = await self._live()
                if pause is None:
                    return
                await anyio.sleep(pause)
                self.restarts += 1
        finally:
            if self._child is not None:
                self._child.reap()

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL where it takes too long; it is not started again."""
        self._ending = True
        self._probe.close()  # there are servers, Triton among them, that end only when nobody is connected
        child = self._child
        if child is None:
            return
        child.signal(SIGTERM)
        with anyio.move_on_after(self.server.stop_timeout_s):
            await child.ended()
            return
        notice(f"{self._name} did not end within {self.server.stop_timeout_s:g} s and is killed")
        child.kill()
        await child.ended()

    def kill(self) -> None:
        """End it at once."""
        self._ending = True
        if self._child is not None:
            self._child.kill()

    def signal(self, number: int) -> None:
        """Pass a signal on to it."""
        if self._child is not None:
            self._child.signal(number)

    @property
    def _name(self) -> str:
        return f"model server `{self.server.name}`"

    async def _live(self) -> float | None:
        """Start it once and wait for its end; return how long to wait before the next start, None: there is none."""
        self.standing = health.started(self._clock())
        try:
            child = self._child = Child(self._command, self._environ, self._folder)
        except NotStarted as error:
            return self._after_end(error.code, error.why)
        notice(f"{self._name} is started as process {child.pid}")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, child)
            code, how = await child.run()
            tasks.cancel_scope.cancel()
        self._probe.give_up()
        pause = self._after_end(code, f"{how}{usual_cause(code)}")
        self._child = None
        return pause

    def _after_end(self, code: int, how: str) -> float | None:
        before, now = self.standing, self._clock()
        if self._ending:
            self.standing = health.down(f"it {how}")
            return None
        if not self._was_ready:
            seen = f" before it was ready; seen last: {before.why}" if self._child is not None else ""
            self._give_up(code or 1, how + seen)
            return None
        if self.server.when_it_ends is WhenItEnds.EXIT:
            self._give_up(code, how)
            return None
        if before.ready_since is not None and now - before.ready_since > _STEADY_S:
            self._deaths = 0
        self._deaths += 1
        pause = pause_s(self._deaths)
        notice(f"{self._name} {how}; it is started again in {pause:g} s")
        self.standing = health.down(f"it {how} and is started again in {pause:g} s")
        return pause

    def _give_up(self, code: int, how: str) -> None:
        self.standing = health.down(f"it {how}")
        notice(f"error: {self._name}: {how}; the listener ends with code {code}")
        self._over(code)

    async def _watch(self, child: Child | None) -> None:
        """Look at its health, often while it starts; end it where it takes too long, or is hung."""
        begun = self._clock()
        pause = _FIRST_LOOK_S
        patient = True
        while True:
            look = await self._probe.look(max(self.server.probe_period_s, _LONGEST_LOOK_S))
            before, now = self.standing, self._clock()
            self.standing = health.after(before, look, now)
            self._tell(before)
            if self.standing.phase is not Phase.STARTING:
                pause = self.server.probe_period_s
                silent_s = health.silent_s(self.standing, self.answered, now)
                if child is not None and silent_s > self._patience_s:
                    notice(f"{self._name} has not answered for {silent_s:.1f} s and is killed")
                    child.kill()
            elif patient and now - begun > self.server.start_timeout_s:
                patient = False
                self._too_slow(child)
            else:
                pause = min(pause * _SLOWER, _LONGEST_LOOK_S, self.server.probe_period_s)
            await anyio.sleep(0 if look.late else pause)

    def _too_slow(self, child: Child | None) -> None:
        text = f"is not ready after {self.server.start_timeout_s:g} s: {self.standing.why}"
        if child is None:
            notice(f"{self._name} {text}; it is still waited for")
            return
        if self._was_ready:
            notice(f"{self._name} {text}; it is killed")
        else:
            self._ending = True
            notice(f"error: {self._name} {text}; give it longer with `start_timeout_s`, or name another `health`")
            self._over(1)
        child.kill()

    def _tell(self, before: Standing) -> None:
        phase = self.standing.phase
        if phase is before.phase:
            return
        if phase is Phase.READY:
            self._was_ready = True
            notice(f"{self._name} is ready")
        else:
            notice(f"{self._name} is {phase}: {self.standing.why}")
