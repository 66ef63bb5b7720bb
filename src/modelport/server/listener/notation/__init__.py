"""How a listener is written down: listener.yaml and its keys, and listeners declared in Python."""
