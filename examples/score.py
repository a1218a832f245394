"""Which of two sentences does the model expect more, and which word surprised it most?"""

import numpy as np

from gpt2lab import LanguageModel


def main() -> None:
    lm = LanguageModel.load("tiny")
    for text in ("She went to the door and opened it.", "Door the it to and she opened went."):
        score = lm.score(text)
        worst = int(np.argmin(score.logprobs))
        print(text)
        print(f"  perplexity {score.perplexity:.1f} per token, {score.bits_per_byte:.2f} bits per byte")
        print(f"  least expected: {score.tokens[worst]!r}, place {score.ranks[worst]} among all tokens")


if __name__ == "__main__":
    main()
