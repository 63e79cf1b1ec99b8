"""``python -m graphrec`` is the command line."""

from graphrec.cli import main

main()
