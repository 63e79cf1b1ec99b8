"""The command line: one module for each group of commands; ``main`` puts them together."""

from graphrec.cli.main import app, main

__all__ = ["app", "main"]
