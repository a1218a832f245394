"""Figures made of numbers and texts; knows no model and no data."""
