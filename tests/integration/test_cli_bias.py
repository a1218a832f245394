"""`gpt2lab bias`: the card's layout, text, JSON and page, two models, files of pairs, and mistakes in one sentence."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gpt2lab import LanguageModel, pipeline
from gpt2lab.evals.bias.page import LIMITS

TEMPLATE = "the {group} sailor"
ASK = ("--template", TEMPLATE, "--template", "a {group} cat", "--template", "my {group}", "--groups", "old,grey",
       "--resamples", "50", "--threads", "1")  # fmt: skip


def test_the_cards_samples_in_its_layout(command, random_model: Path) -> None:
    code, out, err = command("bias", "-m", random_model, *ASK, "--n", "2", "--seed", "7")
    assert (code, err) == (0, "")
    made = pipeline("text-generation", model=LanguageModel.load(random_model))(
        "the old sailor", max_length=10, num_return_sequences=2, seed=7
    )
    assert out.startswith(
        ">>> set_seed(7)\n"
        '>>> generator("the old sailor", max_length=10, num_return_sequences=2)\n\n'
        f"[{made[0]!r},\n {made[1]!r}]\n\n"
        ">>> set_seed(7)\n"
        '>>> generator("the grey sailor", '
    )
    assert out.count(">>> generator(") == 6


def test_findings_as_text(command, random_model: Path) -> None:
    out = command("bias", "-m", random_model, *ASK).out
    number = r"\d\.\d{4} \[\d\.\d{4}, \d\.\d{4}\]"
    assert re.match(
        rf"old / grey: old, grey\n  3 questions of 3 templates\n"
        rf"  next token  {number} bits\n  next word   {number} bits\n"
        rf"  old / grey  total variation {number}\n  likelier after old: .+\n  likelier after grey: .+\n$",
        out,
    )
    assert out == command("bias", "-m", random_model, *ASK[:-1], "2").out


def test_json_before_and_after(command, random_model: Path) -> None:
    value = json.loads(command("bias", "-m", random_model, "--before", random_model, *ASK, "--json").out)
    (axis,) = value["axes"]
    assert axis["groups"] == ["old", "grey"]
    assert value["before"]["axes"] == value["axes"]
    (change,) = value["changes"]
    assert change["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert value["settings"]["resamples"] == 50
    assert len(value["settings"]["fingerprint"]) == 32


def pairs_file(folder: Path) -> Path:
    path = folder / "crows.csv"
    path.write_text("sent_more,sent_less,bias_type\nThe cat sat.,The dog sat.,animals\nA b.,A c.,letters\n")
    return path


def schemas_files(folder: Path) -> tuple[Path, Path]:
    sentences, women = folder / "all_sentences.tsv", folder / "stats.tsv"
    rows = [
        f"{job}.guest.{answer}.{gender}.txt\tThe {job} saw that {word} slept.\n"
        for job in ("cook", "clerk", "guard")
        for answer in (0, 1)
        for gender, word in (("male", "he"), ("female", "she"))
    ]
    sentences.write_text("sentid\tsentence\n" + "".join(rows))
    women.write_text("occupation\tbls_pct_female\ncook\t40\nclerk\t60\nguard\t20\n")
    return sentences, women


def test_files_of_pairs_alone(command, random_model: Path, tmp_path: Path) -> None:
    sentences, women = schemas_files(tmp_path)
    asked = ("-m", random_model, "--crows", pairs_file(tmp_path), "--winogender", sentences, "--occupations", women)
    code, out, err = command("bias", *asked)
    assert (code, err) == (0, "")
    assert re.search(r"^  all      2  \d\.\d{3} \[", out, re.MULTILINE)
    assert re.search(r"^  animals  1  [01]\.000  -?\d+\.\d\d nats$", out, re.MULTILINE)
    assert re.search(r"^  less the other person's       0.000 \[0.000, 0.000\]$", out, re.MULTILINE)
    assert re.search(r"^  correlation with the share of women  -?\d\.\d{3} \[", out, re.MULTILINE)
    assert re.search(r"^  most 'she': \w+; most 'he': \w+$", out, re.MULTILINE)
    value = json.loads(command("bias", *asked, "--json").out)
    assert (value["axes"], [p["kind"] for p in value["crows"]]) == ([], ["all", "animals", "letters"])
    assert [o["women"] for o in value["winogender"]["occupations"]] == [60, 40, 20]
    both = command("bias", *asked, "--before", random_model).out
    assert both == f"{out}\nbefore ({random_model}):\n\n{out}"


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe")
        assert not {"src", "href", "onload"} & {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_needs_nothing_and_says_its_limits(command, random_model: Path, tmp_path: Path) -> None:
    sentences, women = schemas_files(tmp_path)
    file = tmp_path / "bias.html"
    done = command(
        *("bias", "-m", random_model, "--before", random_model, "--template", "the {group} <b>"),
        *(
            "--groups",
            "old,grey,<i>",
            "--n",
            "1",
            "--max-length",
            "20",
            "--html",
            file,
            "--crows",
            pairs_file(tmp_path),
        ),
        *("--winogender", sentences, "--occupations", women),
    )
    assert done.code == 0
    assert "old, grey, <i>" in done.out
    text = file.read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert all(limit in page.text for limit in LIMITS)
    assert "the <i> <b>" in page.text
    assert "animals (1)" in page.text
    assert "Correlation with the share of women" in page.text
    piped = command("bias", "-m", random_model, *ASK, "--html", "-").out
    assert _Page(piped).open == []
    assert piped.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--template", "The {group}"], "--template goes with --groups; give both, or neither for the templates that"),
        (["--groups", "a,b"], "--groups goes with --template; give both"),
        (["--template", "The {group}", "--groups", "a"], "has 1 groups; at least two can be compared."),
        (["--template", "x{group}", "--groups", "a,b", "--axis", "age"], "or --probes and --axis, not both."),
        (
            ["--axis", "rac"],
            "There is no axis 'rac'. Did you mean 'race'? Axes: gender, race, religion, age, weekday.",
        ),
        (["--n", "-1"], "--n = -1 must be a whole number of at least 0; 0 shows no samples."),
        (["--resamples", "1"], "--resamples = 1 must be a whole number of at least 2."),
        (["--axis", "age", "--floor", "0"], "--floor = 0.0 must be more than 0 and less than 1."),
        (["--occupations", "x.tsv"], "--occupations goes with --winogender; give the sentences too."),
        (["--crows", "none.csv"], "none.csv does not exist."),
        (
            ["--axis", "age", "--n", "1", "--max-length", "3"],
            "tokens of the prompt 'The ",
        ),
    ],
)
def test_mistakes(command, arguments: list[str], message: str) -> None:
    code, out, err = command("bias", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("gpt2lab: ")
    assert message in err
    assert err.count("\n") == 1
