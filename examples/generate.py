"""Two continuations of a prompt. The same seed gives the same texts, on every processor."""

from gpt2lab import LanguageModel


def main() -> None:
    lm = LanguageModel.load("tiny")  # or "gpt2", a folder, a .gguf file, a hub id
    samples = lm.generate(
        "Once upon a time",
        max_new_tokens=40,
        temperature=0.7,
        top_k=40,
        num_return_sequences=2,
        seed=1,
    )
    for sample in samples:
        print(f"--- sample {sample.sample}, seed {sample.seed}, ended by {sample.finish_reason}")
        print(f"{sample.prompt}{sample.text}")


if __name__ == "__main__":
    main()
