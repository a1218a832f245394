"""Evaluation: what is asked of a language model, by which protocol, and how far from the published figures it lands."""
