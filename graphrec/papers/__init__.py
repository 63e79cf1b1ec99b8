"""Paper configurations and citations."""
