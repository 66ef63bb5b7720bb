"""A server of a tiny model, as a process: `python -m tests.server.example_server KIND [FLAG …]`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded, ModelUnusable
from modelport.server.configure import configure
from modelport.server.main import listen, supervise


def load(kind: str) -> Any:
    """Make the model of a kind; numpy and all that comes here, in the worker."""
    from modelport.server.model import Direct, Form, ModelInfo

    class Example(Direct):
        info = ModelInfo(framework="PREDICTOR", form=Form.PYTHON, warm_up=["warm"], row_wise=False)

        def predict(self, inputs: list[Any], parameters: Any) -> list[Any]:
            time.sleep(0.002)  # long enough to be called in a thread
            for row in inputs:
                if row == "die":
                    os.kill(os.getpid(), 9)
                if row == "unusable":
                    raise ModelUnusable("The GPU refuses all further work of this process")
                if row == "slow":
                    time.sleep(1.0)
                if row == "warm" and kind == "cold":
                    raise ValueError("it does not know this row")
            return [[row, os.getpid()] for row in inputs]

    sys.stderr.write("loading\n")
    if kind == "broken":
        raise ModelCannotBeLoaded("The file is not a model", hint="Store it again")
    if kind == "killed":
        os.kill(os.getpid(), 9)
    if kind == "slow":
        time.sleep(1.0)
    return Example()


if __name__ == "__main__":
    flags = sys.argv[2:]
    config = configure(flags if "--model-dir" in flags else ["--predictor", "none", *flags], {})
    listener = listen(config.host, config.port)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    raise SystemExit(supervise(config, listener, lambda _: load(sys.argv[1])))
