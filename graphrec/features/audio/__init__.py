"""Encode sound files."""
