"""Content -> rows through the store: sources, networks, weights, assembly."""
