"""Texts as vectors: the mean hidden state of each sentence, and how alike the sentences are by it."""

import numpy as np

from gpt2lab import LanguageModel

SENTENCES = (
    "The ship sailed across the stormy sea.",
    "The boat came slowly into the harbour.",
    '"I love you," she said to him.',
)


def main() -> None:
    lm = LanguageModel.load("tiny")
    vectors = np.stack([lm.features(text, layer=2, pooling="mean") for text in SENTENCES])  # (texts, n_embd)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T  # cosines, (texts, texts)
    for text, row in zip(SENTENCES, likeness, strict=True):
        print(" ".join(f"{cosine:5.2f}" for cosine in row), text)


if __name__ == "__main__":
    main()
