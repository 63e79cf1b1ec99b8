"""Recommendations and vectors from a finished run."""
