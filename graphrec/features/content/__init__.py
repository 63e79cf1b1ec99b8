"""Turn content into rows through the store: sources, networks, weights, assembly."""
