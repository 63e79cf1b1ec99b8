"""Errors that a user can cause. A message says what, where (file, row or key), and the remedy."""


class GraphRecError(ValueError):
    """Base of every error that a user can fix; the command line turns it into exit code 2."""


class ConfigError(GraphRecError):
    """A setting is unknown, out of range or contradicts another one."""


class DataError(GraphRecError):
    """A file or its content does not hold what the configuration says it holds."""


class TrainingError(GraphRecError):
    """Training cannot go on: the loss is not finite, or the checkpoint cannot be trusted."""
