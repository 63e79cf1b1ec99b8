"""Serve recommendations and vectors from a finished run."""
