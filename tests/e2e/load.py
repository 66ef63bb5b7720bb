"""Traffic while something happens: threads that predict and remember every answer that was not 200."""

import threading
import time
from types import TracebackType
from typing import Self

import httpx


class Load:
    """Predicts from `threads` threads until the block ends; bounded to `limit_s` seconds."""

    def __init__(self, url: str, *names: str, threads: int = 2, limit_s: float = 120, pause_s: float = 0.01) -> None:
        self.failures: list[str] = []
        self.count = 0
        self._end = time.monotonic() + limit_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pause_s = pause_s
        self._threads = [
            threading.Thread(target=self._run, args=(f"{url}/v1/projects/p/{names[index % len(names)]}:predict",))
            for index in range(threads)
        ]

    def _run(self, url: str) -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._stop.is_set() and time.monotonic() < self._end:
                try:
                    answer = client.post(url, json={"instances": [1, 2]})
                    problem = "" if answer.status_code == 200 else f"{answer.status_code} {answer.text}"
                except httpx.HTTPError as error:
                    problem = repr(error)
                with self._lock:
                    self.count += 1
                    if problem:
                        self.failures.append(problem)
                time.sleep(self._pause_s)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
