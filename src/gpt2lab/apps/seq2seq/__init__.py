"""Texts into other texts: translation, summaries, anything given as pairs, by a decoder-only model that learns them."""
