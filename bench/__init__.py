"""Measurements of modelport side by side with what it is compared to; run by scripts/bench."""
