"""A model from nothing in seconds: text, vocabulary, corpus, training, generation. Needs gpt2lab[train]."""

import itertools
import random
import tempfile
from pathlib import Path

from gpt2lab import LanguageModel
from gpt2lab.data import CorpusRecipe, prepare
from gpt2lab.train import run
from gpt2lab.train.export import export

WHO = ("the cat", "the dog", "my aunt", "a child", "the king", "a fish", "the sailor")
DOES = ("sees", "likes", "follows", "paints", "forgets", "dreams of")
WHAT = ("the moon", "a red house", "the sea", "an old song", "the garden", "a small boat")
WHEN = ("today", "at night", "in winter", "again", "on Sundays")


def main() -> None:
    sentences = [" ".join(parts) + ".\n" for parts in itertools.product(WHO, DOES, WHAT, WHEN)]
    random.Random(1).shuffle(sentences)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_text("".join(sentences), encoding="utf-8")
        prepare([folder / "text.txt"], folder / "corpus", CorpusRecipe(vocab_size=400, validation_share=0.1))
        recipe = {
            "name": "sentences",
            "data": str(folder / "corpus"),
            "out": str(folder / "run"),
            "model": {"n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2},
            "optimizer": {"lr": 1e-2},
            "schedule": {"warmup_steps": 5},
            "train": {"steps": 100, "batch_size": 8, "validate_every": 50, "seed": 1, "threads": 1},
        }
        trained = run(recipe)
        print(f"sentences it never saw: {trained.bits_per_byte:.2f} bits per byte after {trained.step} steps")
        lm = LanguageModel.load(export(trained.folder, folder / "model"))
        (sample,) = lm.generate("the king", max_new_tokens=30, temperature=0.5, seed=1)
        print(f"{sample.prompt}{sample.text}")


if __name__ == "__main__":
    main()
