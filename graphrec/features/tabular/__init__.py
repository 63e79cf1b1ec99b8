"""Encode tables, matrices and lists."""
