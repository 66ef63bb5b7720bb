"""modelport: a self-hosted prediction platform."""

__version__ = "0.1.0"
