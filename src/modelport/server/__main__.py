"""Starts the prediction server: `python -m modelport.server`."""

from modelport.server.main import main

if __name__ == "__main__":
    raise SystemExit(main())
