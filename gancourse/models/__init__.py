"""The players, one family a file, each readable alone."""
