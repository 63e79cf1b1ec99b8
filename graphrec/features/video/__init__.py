"""Encode video files."""
