"""Tables, pages and drawings made from results."""
