"""Whether what is declared can work: names, graphs, types."""
