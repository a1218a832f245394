"""The prompts by which a language model does a task it was not trained for, byte for byte.

Radford et al. (2019), "Language Models are Unsupervised Multitask Learners": translation as pairs "sentence =
translation" (section 3.7), a summary behind "TL;DR:" (3.6), questions about a text as a dialogue of "Q:" and "A:"
(3.5), and questions alone behind other questions with their answers (3.8). The paper does not name its examples; ours
are our own. docs/zero-shot.md says what else it leaves open.
"""

from __future__ import annotations

from collections.abc import Sequence

TRANSLATIONS = (
    ("The library opens at nine o'clock.", "La bibliothèque ouvre à neuf heures."),
    ("She has been living in Lyon for ten years.", "Elle habite à Lyon depuis dix ans."),
    ("The government has announced a new law.", "Le gouvernement a annoncé une nouvelle loi."),
    ("I do not know where he put the keys.", "Je ne sais pas où il a mis les clés."),
    (
        "The price of bread rose by three percent last year.",
        "Le prix du pain a augmenté de trois pour cent l'an dernier.",
    ),
    ("Children learn languages faster than adults.", "Les enfants apprennent les langues plus vite que les adultes."),
    ("The train was late because of the snow.", "Le train était en retard à cause de la neige."),
    ("We will meet again next week.", "Nous nous reverrons la semaine prochaine."),
)
"""Pairs in English and French that may stand before a sentence to be translated."""

QUESTIONS = (
    ("what is the largest planet of the solar system", "Jupiter"),
    ("who painted the ceiling of the sistine chapel", "Michelangelo"),
    ("how many strings does a violin have", "four"),
    ("in which year did the berlin wall fall", "1989"),
    ("what language is spoken in brazil", "Portuguese"),
    ("which metal is liquid at room temperature", "mercury"),
    ("who was the first president of the united states", "George Washington"),
    ("where do penguins live", "the Southern Hemisphere"),
)
"""Questions and answers that may stand before one that is asked."""

HINT = "\nTL;DR:"
"""What makes a model summarise the text before it."""

Pairs = Sequence[tuple[str, str]]


def translation_prompt(examples: Pairs, sentence: str) -> str:
    """Return the examples, one "sentence = translation" a line, then the sentence and " ="."""
    return "".join(f"{source} = {target}\n" for source, target in examples) + f"{sentence} ="


def summary_prompt(text: str, hint: str = HINT) -> str:
    """Return the text and the hint behind it."""
    return text.rstrip() + hint


def question_prompt(examples: Pairs, question: str) -> str:
    """Return questions with their answers, an empty line behind each, then the question and "A:"."""
    shown = "".join(f"Q: {q}?\nA: {a}\n\n" for q, a in examples)
    return f"{shown}Q: {question.rstrip().removesuffix('?')}?\nA:"


def dialogue_prompt(text: str, turns: Pairs, question: str, *, gap: str = "\n") -> str:
    """Return a text, an empty line, the questions about it so far with their answers, then the question and "A:"."""
    shown = "".join(f"Q: {q}{gap}A: {a}{gap}" for q, a in turns)
    return f"{text}\n\n{shown}Q: {question}{gap}A:"
