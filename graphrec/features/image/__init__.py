"""Encode picture files."""
