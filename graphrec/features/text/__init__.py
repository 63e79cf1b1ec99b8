"""Encode texts."""
