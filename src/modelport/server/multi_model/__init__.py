"""Many small models in one server: loaded when they are asked for, within a limit of memory."""
