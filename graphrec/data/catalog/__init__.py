"""Find, fetch and describe known data sets, and make toy data."""
