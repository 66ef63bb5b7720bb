"""Starts the listener: `python -m modelport.server.listener`."""

from modelport.server.listener.main import main

if __name__ == "__main__":
    raise SystemExit(main())
