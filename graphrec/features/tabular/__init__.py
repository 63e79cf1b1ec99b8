"""Encoders of tables, matrices and lists."""
