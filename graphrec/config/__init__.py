"""The settings of an experiment: every table, the file, overrides and search space."""
