"""Modules in which scripts that were written for other GPT-2 packages run unchanged."""
