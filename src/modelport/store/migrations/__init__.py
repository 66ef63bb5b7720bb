"""Schema changes, applied in order when the store opens."""
