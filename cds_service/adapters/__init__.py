"""One neighbour per module: the concrete side of the ports."""
