"""Tools that every package uses: settings, errors, files, processes, random streams."""
