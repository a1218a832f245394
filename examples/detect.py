"""Who wrote this? Measure a text, and ask the detector that comes with gpt2lab how far it can tell."""

from gpt2lab import LanguageModel
from gpt2lab.apps.detect.detector import load_detector
from gpt2lab.apps.detect.reading import Reader
from gpt2lab.apps.detect.zero_shot import measure

reader = Reader(LanguageModel.load("tiny"), name="tiny")
detector = load_detector()
for options in ({"temperature": 1.0, "top_k": 0, "repetition_penalty": 1.0}, {"temperature": 0.7, "top_k": 40}):
    (made,) = reader.lm.generate("The old house", max_new_tokens=150, seed=1, **options)
    reading = reader.read("The old house" + made.text)
    print(options)
    print(" ", detector.judge(reading).sentence())
    print("  Fast-DetectGPT", round(measure(reading.moments)["fast_detectgpt"], 2))
