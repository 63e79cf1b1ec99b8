"""One experiment: prepare, fit, measure, record."""
