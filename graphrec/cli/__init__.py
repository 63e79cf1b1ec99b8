"""Provide the command line: one module per group of commands, assembled in ``main``."""

from graphrec.cli.main import app, main

__all__ = ["app", "main"]
