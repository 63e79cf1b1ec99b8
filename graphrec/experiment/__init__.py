"""Prepare, fit, measure and record one experiment."""
