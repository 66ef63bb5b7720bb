"""The first process of a container: it starts the listener, passes signals on to it, and reaps orphans.

The kernel leaves every process whose parent is gone to the first one, which must take note of its end, and delivers to
the first one no signal that it has no handler for. Who waits for any child takes the ends of processes that others
started, and Python's own pools of processes are among those: so this is a process of its own, which does nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

from modelport.server.child_processes import die_with_parent, end_of

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)


def stand_before(run: Callable[[], int]) -> int:
    """Run a function in a child of this process; return its code when it has ended, whatever else still runs."""
    first = os.getpid()
    # Nothing is lost that comes before the handlers are there.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if not pid:
        _become(first, run)

    def pass_on(number: int, frame: object) -> None:
        os.kill(pid, number)

    for one in _SIGNALS:
        signal.signal(one, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            for one in _SIGNALS:
                signal.signal(one, signal.SIG_IGN)  # there is nobody left to pass them on to
            return end_of(status)[0]


def _become(first: int, run: Callable[[], int]) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    code = 1
    try:
        os.setpgid(0, 0)  # what a terminal sends to the first process would come twice
        die_with_parent(first)
        code = run()
    except BaseException:  # whatever ends it must be seen, and must not run on in the code of the first process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
