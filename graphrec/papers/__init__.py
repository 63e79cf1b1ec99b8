"""Find paper configurations and citations."""
