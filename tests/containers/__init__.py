"""The corpus: containers that break the contract, each with its cause and its remedy, and containers that are fine.

A new one is an entry of `CASES` in the module of its area. `tests/e2e/test_check_broken.py` and `test_check_healthy.py`
run them with real engines: `pytest tests/e2e -k NAME`. With MODELPORT_RECORD_CASES=1 in the environment the evidence is
written to tests/cases, from where `tests/doctor` replays and mutates it without an engine.
"""
