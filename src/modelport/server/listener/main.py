"""The command line of the listener: `modelport-listener` and `python -m modelport.server.listener`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

from modelport.core.errors import Error
from modelport.server.listener.children.first_process import stand_before
from modelport.server.listener.listener_config import ListenerConfig, configure_listener
from modelport.server.main import listen
from modelport.server.notices import complaint

_LAST_WORK_S = 1.0  # for threads that the code of Python steps still runs in


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end; return the exit code.

    It is 0; 1 where a model server does not become ready; 2 for a wrong setting or declaration; or the code of a model
    server whose end is the listener's.
    """
    try:
        config = configure_listener(sys.argv[1:] if arguments is None else arguments, os.environ)
    except Error as error:
        sys.stderr.write(complaint(error))
        return 2
    if os.getpid() == 1:
        return stand_before(lambda: run(config))
    return run(config)


def run(config: ListenerConfig) -> int:
    """Serve in this process; return the exit code."""
    import uvloop  # this and what follows is not for the first process, which forks

    from modelport.server.listener.children.free_ports import with_ports
    from modelport.server.listener.notation.listener_source import folder_of, load_listener
    from modelport.server.listener.service import serve

    try:
        listener = load_listener(config.target)
        listening = listen(config.host, config.port)
        listener = with_ports(listener)  # of those that are free now
    except Error as error:
        sys.stderr.write(complaint(error))
        return 2
    code = uvloop.run(serve(listener, config, listening, os.environ, folder_of(config.target)))
    _leave(code)
    return code


def _leave(code: int) -> None:
    """End the process here where code of a Python step does not end: nothing else would."""
    mine = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    for one in mine:
        one.join(_LAST_WORK_S / len(mine))
    if any(one.is_alive() for one in mine):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
