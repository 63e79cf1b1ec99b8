"""Comparisons of many runs under one budget: what a setting is worth, by how sure a margin."""
