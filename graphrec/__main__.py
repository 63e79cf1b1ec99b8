"""``python -m graphrec`` is the command line."""

from graphrec.cli.main import main

main()
