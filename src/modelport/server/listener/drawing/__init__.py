"""A listener as a picture."""
