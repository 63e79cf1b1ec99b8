"""Layers, losses and initial values that models share."""
