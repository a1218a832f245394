"""Applications of language models. Each stands on what is below it; none knows another."""
