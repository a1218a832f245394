"""GPT-2 itself: its configuration (no torch) and its PyTorch module (torch; `pip install 'gpt2lab[train]'`)."""
