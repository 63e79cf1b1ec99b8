"""Implement the flagship: a graph model with attention over modalities."""
