"""The way to model servers and back: connections, calls, what is passed on as it is."""
