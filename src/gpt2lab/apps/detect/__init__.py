"""Telling machine text from human text: measurements, detectors made of them, and what may honestly be said."""
