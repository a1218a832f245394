"""News articles by metadata: any field of an article written from any others, as Grover does (Zellers et al. 2019)."""
