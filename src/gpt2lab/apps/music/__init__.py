"""Music as a language: MIDI files as events or chords, models that learn, continue and accompany them, and sound."""
