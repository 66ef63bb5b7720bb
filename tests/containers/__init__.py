"""The corpus: containers that do not do what the contract asks, each with its cause, and containers that are fine."""
