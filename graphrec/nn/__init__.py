"""Provide layers, losses and initial values that models share."""
