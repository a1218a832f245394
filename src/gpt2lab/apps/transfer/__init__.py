"""Transfer learning: GPT-1's input shapes, a head for each, what they are trained on and how they are judged."""
