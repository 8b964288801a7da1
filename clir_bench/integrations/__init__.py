"""The only places that import mteb or beir."""
