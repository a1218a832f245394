"""The likeliest next tokens, and how the text goes on when each of them is taken."""

from gpt2lab import LanguageModel


def main() -> None:
    lm = LanguageModel.load("tiny")
    text = "She opened the"
    for token_id, token, probability in lm.next_tokens(text, k=5):
        (follow,) = lm.generate(text + token, max_new_tokens=8, temperature=0)
        whole = f"{text}{token}{follow.text}"
        print(f"{token_id:5d} {probability:6.1%} {'#' * round(100 * probability):12} {whole!r}")


if __name__ == "__main__":
    main()
