"""Small files in the formats of the corpora that evaluations read; their text is made up."""

from __future__ import annotations

import json
from pathlib import Path

WIKI = [
    " ", " = The old sailor = ", " ", " The old sailor , 1 @,@ 200 years old , walked slowly to the harbour . ", " ",
    " = = Early life = = ", " ", ' He " waited " for seven green apples ( and a grey cat \'s dream ) . ', " ",
    " = The long winter = ", " ", " My sister wrote a letter about the night train . ", " ",
]  # fmt: skip
PTB = [" the grey cat did n't wait for $ N ", " my sister 's <unk> wrote a letter "]
BILLION = ['" Well , " she said , " that is it . "', "A small model had never seen the harbour ."]
SENTENCES = tuple(f"`` The grey cat had never seen an open door , '' said number {i} ." for i in range(20))
CHOICES = ("harbour", "door", "cat", "train", "letter", "apples", "sailor", "sister", "winter", "model")


def cbt_block(question: str, answer: str) -> str:
    lines = [f"{i} {sentence}" for i, sentence in enumerate(SENTENCES, 1)]
    return "\n".join([*lines, f"21 {question}\t{answer}\t\t{'|'.join(CHOICES)}"]) + "\n"


def write_corpora(folder: Path) -> Path:
    """Write a small file for every task into a folder, and return it."""
    wiki = "".join(f"{line}\n" for line in WIKI)
    jsonl = [
        {"text": f"“The old sailor,” she said, “walked to the {word}"} for word in ("harbour", "door", "cat", "café")
    ]
    files = {
        "wikitext2/wiki.test.tokens": wiki,
        "wikitext2_raw/wiki.test.raw": wiki,
        "wikitext103/wiki.test.tokens": wiki,
        "ptb/ptb.test.txt": "".join(f"{line}\n" for line in PTB),
        "1bw/news.en.heldout-00000-of-00050": "".join(f"{line}\n" for line in BILLION),
        "text8/text8": " the old sailor walked slowly to the harbour" * 40,
        "lambada/lambada_test.jsonl": "".join(json.dumps(line) + "\n" for line in jsonl),
        "lambada/lambada_test_plain_text.txt": "`` yes , '' said my sister , and did n't see the cat\n" * 3,
        "cbt/cbtest_CN_valid_2000ex.txt": cbt_block("He could n't open the XXXXX .", "door") + "\n"
        + cbt_block("XXXXX of the harbour , she said .", "train") + "\n",
        "cbt/cbtest_NE_valid_2000ex.txt": cbt_block("`` XXXXX ! '' cried the cat .", "sailor") + "\n",
        "wsc273/wsc273.txt": "The cat saw the door because  [MASK]  was open. \n[MASK]\n"
        "The cat ,The door \nThe door \n\n",
    }  # fmt: skip
    story = "InputSentence1,InputSentence2,InputSentence3,InputSentence4,RandomFifthSentenceQuiz1,"
    files["storycloze/test.csv"] = (
        f"{story}RandomFifthSentenceQuiz2,AnswerRightEnding\n"
        "A cat sat.,It slept.,It woke.,It ate.,It left.,It sang.,1\n"
    )
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())
    (folder / "enwik8").mkdir()
    (folder / "enwik8" / "enwik8").write_bytes("<page>Café ’n’ naïve</page>\n".encode() * 30 + b"\xff\xfe broken\n")
    return folder
