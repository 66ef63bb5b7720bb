"""What the model costs without any server; run with the libraries' own interpreter: python -m bench.server_inprocess.

Prints JSON: the median of a call with one row, and what the process grew by when it loaded and called the model.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from pathlib import Path

_CALLS = 2000


def _pss_mib() -> float:
    kilobytes = re.search(r"^Pss:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return int(kilobytes[1]) / 1024 if kilobytes else 0.0


def main() -> None:
    folder, rows, columns = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    bare = _pss_mib()
    import numpy as np

    from bench.server_job import load

    predict = load(folder)
    row = np.full((rows, columns), 0.5)
    predict(row)
    grown = _pss_mib() - bare
    times = []
    for _ in range(_CALLS):
        before = time.perf_counter()
        predict(row)
        times.append(time.perf_counter() - before)
    print(json.dumps({"median_ms": statistics.median(times) * 1e3, "model_mib": grown}))


if __name__ == "__main__":
    main()
