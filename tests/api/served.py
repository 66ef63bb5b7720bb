"""The API on a real port of the loopback."""

import socket
import threading
import time

import uvicorn

from tests.api.world import Api


class Served:
    """The API behind uvicorn in a thread, on a free loopback port."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(api.app, log_level="warning", lifespan="off"))
        self._thread = threading.Thread(target=lambda: self._server.run(sockets=[self._socket]))

    def __enter__(self) -> "Served":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
