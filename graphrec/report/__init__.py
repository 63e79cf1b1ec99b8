"""Make tables, pages and drawings from results."""
