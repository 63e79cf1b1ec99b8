"""Provide loss terms beside the ranking loss that align, balance and regularise modalities."""
