"""Text as it is made, up to the end of its first sentence."""

from gpt2lab import LanguageModel


def main() -> None:
    lm = LanguageModel.load("tiny")
    prompt = "The old man looked at the sea"
    print(prompt, end="", flush=True)
    for piece in lm.stream(prompt, max_new_tokens=60, stop=[".", "!", "?"], include_stop=True, seed=3):
        print(piece, end="", flush=True)  # whole characters only, and never half a stop string
    print()


if __name__ == "__main__":
    main()
