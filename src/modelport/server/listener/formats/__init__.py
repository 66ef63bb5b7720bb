"""The formats that callers and model servers speak, each in a module of its own."""
