"""`gpt2lab detect`: verdicts for people and programs, the page, and from human texts to a detector of one's own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.apps.detect.reading import flattened
from gpt2lab.lm.model import LanguageModel

TEXT = (
    "It was late when the old sailor came down to the harbour. Nobody had lit the lamps. He sat on the wall and waited "
    "for the boat that his brother had promised to send, and he thought of all the other nights that he had waited."
)


@pytest.fixture
def essay(tmp_path: Path) -> Path:
    path = tmp_path / "essay.txt"
    path.write_text(TEXT + "\n\n<b>&amp; naïve</b> \x1b[31m</script>\n", encoding="utf-8")
    return path


def test_a_text_is_measured_and_judged(command, essay: Path) -> None:
    code, out, err = command("detect", essay, "--threads", "1")
    assert (code, err) == (0, "")
    assert out.startswith(f"{essay}: 49 words\n")
    for name in ("likelihood", "log-rank", "LRR", "Fast-DetectGPT", "Binoculars"):
        assert name in out
    assert "ranks: " in out


def test_colours_show_the_whole_text_and_command_no_terminal(command, essay: Path) -> None:
    out = command("detect", essay, "--colours", "--threads", "1").out
    shown = out.partition("\n\n")[2] if "\x1b[30;48" in out else ""
    assert "\x1b[30;48;5;" in out
    assert "\x1b[31m" not in out
    plain = "".join(part.partition("m")[2] if i else part for i, part in enumerate(out.split("\x1b[")))
    assert TEXT in plain
    assert "naïve" in plain
    assert shown


def test_json_has_a_line_for_each_text(command, essay: Path, tmp_path: Path) -> None:
    lines = tmp_path / "many.jsonl"
    lines.write_text(json.dumps({"text": TEXT}) + "\n\n" + json.dumps(TEXT[:90]) + "\n", encoding="utf-8")
    code, out, _ = command("detect", essay, lines, "-", "--json", "--threads", "1", stdin=TEXT.encode())
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [f["name"] for f in found] == [str(essay), f"{lines}, line 1", f"{lines}, line 3", "standard input"]
    assert found[1] | {"name": ""} == found[3] | {"name": ""}
    assert set(found[0]["methods"]) >= {"likelihood", "log_rank", "lrr", "entropy", "fast_detectgpt", "binoculars"}
    assert sum(found[0]["rank_shares"]) == pytest.approx(1, abs=1e-3)


@pytest.fixture
def shallow(tmp_path: Path) -> Path:
    """The embedded model without its last layers and half of its window: another model of one vocabulary."""
    from gpt2lab.checkpoint import load, save_hf

    whole = load("tiny")
    config = dataclasses.replace(whole.config, n_layer=2, n_positions=256)
    tensors = {name: whole.tensors[name] for name in config.tensor_shapes()}
    tensors["transformer.wpe.weight"] = tensors["transformer.wpe.weight"][:256]
    return save_hf(tmp_path / "shallow", config, tensors, whole.tokenizer)


def test_binoculars_with_two_models(command, essay: Path, shallow: Path) -> None:
    """Hans et al. 2024, equation 4, written out from each model's own logits."""
    both = json.loads(command("detect", essay, "--reference", shallow, "--json", "--threads", "1").out)
    alone = json.loads(command("detect", essay, "--json", "--threads", "1").out)
    performer, observer = (LanguageModel.load(m, threads=1) for m in ("tiny", shallow))
    assert performer.tokenizer is not None
    ids = performer.tokenizer.encode(flattened(essay.read_text(encoding="utf-8"))[0])
    before = np.asarray([performer.bos_id(), *ids[:-1]], np.int32)
    scores, weights = (
        log_softmax(lm.backend.forward([lm.backend.new_cache()], [before], all_positions=True))
        for lm in (performer, observer)
    )
    expected = scores[np.arange(len(ids)), ids].mean() / (np.exp(weights) * scores).sum(1).mean()
    assert both["methods"]["binoculars"]["value"] == pytest.approx(-expected, rel=1e-4)
    assert both["methods"]["binoculars"] != alone["methods"]["binoculars"]
    assert both["methods"]["likelihood"] == alone["methods"]["likelihood"]
    assert "human_percentile" not in both["methods"]["binoculars"]  # people were measured with one model
    assert "human_percentile" in alone["methods"]["binoculars"]
    assert (both["verdict"], both["probability"]) == (alone["verdict"], alone["probability"])
    turned = json.loads(command("detect", essay, "--model", shallow, "--reference", "tiny", "--json").out)
    assert turned["methods"]["binoculars"]["value"] not in (None, both["methods"]["binoculars"]["value"])
    assert turned["detector"] is None


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(1, keepdims=True))


def test_two_models_of_two_vocabularies_are_refused(command, essay: Path, article_model: Path) -> None:
    code, _, err = command("detect", essay, "--reference", article_model, "--threads", "1")
    assert code == 2
    assert err.count("\n") == 1 and "have different vocabularies; two models of one vocabulary are needed" in err


def test_gltr_payload_and_page(command, essay: Path, tmp_path: Path) -> None:
    found = json.loads(command("detect", essay, "--gltr", "--threads", "1").out)
    assert found["request"]["text"].startswith(TEXT)
    assert len(found["result"]["pred_topk"][0]) == 40
    assert command("detect", essay, "--html", tmp_path / "e.html", "--threads", "1").code == 0
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2  # the page's own: the text's stayed text
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    (text,) = data["texts"]
    assert "".join(t["before"] + t["text"] for t in text["tokens"]) + text["after"] == essay.read_text(encoding="utf-8")
    assert {"rank", "p", "share", "top", "entropy"} <= set(text["tokens"][1])


def test_from_human_texts_to_a_detector_and_a_report(command, pairs_from_tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    detector, kept = tmp_path / "mine.json", tmp_path / "kept.npz"
    code, out, err = command(
        "detect", "train", pairs_from_tiny, "--out", detector, "--measured", kept, "--threads", "1"
    )
    assert (code, out) == (0, f"{detector}\n"), err
    assert "AUROC" in err
    assert kept.is_file()
    code, out, _ = command(
        "detect", "report", pairs_from_tiny, "--detector", detector, "--measured", kept, "--json", "--threads", "1",
        "--svg", tmp_path / "r.svg",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    (whole,) = (g for g in found["groups"] if g["kind"] == "all")
    assert whole["auroc"]["mine"] > 0.9
    assert (tmp_path / "r.svg").read_text(encoding="utf-8").startswith("<svg")
    tables = command(
        "detect", "report", pairs_from_tiny, "--detector", detector, "--measured", kept, "--threads", "1"
    ).out
    assert "AUROC by set" in tables
    assert "paired accuracy" in tables
    machine = json.loads(pairs_from_tiny.read_text(encoding="utf-8").splitlines()[0])["machine"]
    again = ("detect", "-", "--detector", detector, "--threads", "1")
    said = command(*again, stdin=machine.encode()).out
    assert "that a machine wrote it" in said
    assert "Detector 'mine' on tiny, trained against" in said
    assert "Evidence, no proof." in said
    assert command(*again, "--fail-above", "0", stdin=machine.encode()).code == 1
    assert command(*again, "--fail-above", "1", stdin=machine.encode()).code == 0
    assert "too short to say (2 words)" in command(*again, stdin=b"two words").out


@pytest.fixture
def pairs_from_tiny(command, tmp_path: Path) -> Path:
    human = tmp_path / "human.jsonl"
    sentences = [
        f"The {who} {did} the {what} for {n} days, and then he asked me why I had not come before the winter. " * 2
        for n, (who, did, what) in enumerate(
            (w, d, x)
            for w in ("sailor", "teacher", "doctor", "grey cat")
            for d in ("watched", "painted")
            for x in ("sea", "garden", "night train")
        )
    ]
    human.write_text("\n".join(json.dumps({"text": s}) for s in sentences), encoding="utf-8")
    pairs = tmp_path / "pairs.jsonl"
    options = ("--length", "60", "--prompt-tokens", "3", "--seed", "1", "--threads", "1")
    code, out, err = command("detect", "build", human, "--out", pairs, *options)
    assert (code, out) == (0, f"{pairs}\n"), err
    assert len(pairs.read_text(encoding="utf-8").splitlines()) == len(sentences)
    return pairs


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.txt"], "nowhere.txt"),
        (["-"], "Standard input is empty; there is no text to judge."),
        (["{tmp}/bad.jsonl"], "bad.jsonl, line 1 has no text: a string, or an object with a string under 'text'"),
        (["{tmp}/worse.jsonl"], "worse.jsonl, line 1 is not JSON"),
        (["-", "--fail-above", "2"], "--fail-above = 2.0 must be between 0 and 1."),
        (["-", "--json", "--gltr"], "Give --json or --gltr, not both."),
        (["{tmp}/essay.txt", "--detector", "{tmp}/bad.jsonl"], "holds no detector"),
        (["train", "{tmp}/bad.jsonl", "--out", "x", "--strength", "0"], "--strength = 0.0 must be positive."),
        (["train", "{tmp}/bad.jsonl", "--out", "x"], "has no text under 'human'"),
        (["report", "{tmp}/bad.jsonl", "--hold-out-share", "1"], "--hold-out-share = 1.0 must be from 0 to below 1."),
        (["build", "{tmp}/bad.jsonl", "--out", "x"], "line 1 has no text: a string under 'text' or 'human' is needed."),
        (["build", "{tmp}/essay.txt", "--out", "{tmp}/p.jsonl", "--length", "5"], "length = 5"),
    ],
)
def test_a_mistake_is_one_sentence(command, essay: Path, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n", encoding="utf-8")
    (tmp_path / "worse.jsonl").write_text("{\n", encoding="utf-8")
    code, out, err = command("detect", *(a.replace("{tmp}", str(tmp_path)) for a in arguments), stdin=b"")
    assert (code, out) == (2, "")
    assert err.startswith("gpt2lab: ")
    assert sentence in err
    assert "Traceback" not in err


def test_a_detector_of_another_model_is_refused(
    command, random_model: Path, pairs_from_tiny: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    detector = tmp_path / "mine.json"
    assert command("detect", "train", pairs_from_tiny, "--out", detector, "--threads", "1").code == 0
    code, _, err = command("detect", "-", "-m", random_model, "--detector", detector, stdin=TEXT.encode())
    assert code == 2
    assert "was trained on what the model tiny makes of texts" in err
    code, out, _ = command("detect", "-", "-m", random_model, stdin=TEXT.encode())
    assert code == 0
    assert "for which there is no detector" in out


def test_long_texts_are_cut_into_passages(command, tmp_path: Path) -> None:
    human, out = tmp_path / "books.jsonl", tmp_path / "pairs.jsonl"
    human.write_text(json.dumps({"text": TEXT * 6}) + "\n" + json.dumps({"text": "short"}) + "\n", encoding="utf-8")
    cut = ("--passages", "--length", "40", "--prompt-tokens", "8", "--threads", "1")
    assert command("detect", "build", human, "--out", out, *cut, "--limit", "3").code == 0
    pairs = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(pairs) == 3
    whole = flattened(TEXT * 6)[0]
    places = [whole.find(pair["human"][:60]) for pair in pairs]
    assert places[0] == 0 and sorted(places) == places and -1 not in places
    assert pairs[0]["machine"][:20] == pairs[0]["human"][:20]
    code, _, err = command("detect", "build", human, "--out", out, "--passages", "--length", "4000")
    assert code == 2 and "No text has a passage of 4000 tokens" in err


def test_the_baseline_and_the_discriminator_are_detectors_too(
    command, pairs_from_tiny: Path, random_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    words, head = tmp_path / "words.json", tmp_path / "head"
    assert command("detect", "train", pairs_from_tiny, "--kind", "tfidf", "--out", words).code == 0
    code, out, err = command(
        "detect", "train", pairs_from_tiny, "--kind", "discriminator", "--model", random_model, "--out", head,
        "--epochs", "0.5", "--batch-size", "4", "--threads", "1",
    )  # fmt: skip
    assert (code, out) == (0, f"{head}\n"), err
    machine = json.loads(pairs_from_tiny.read_text(encoding="utf-8").splitlines()[0])["machine"]
    for detector in (words, head):
        said = command("detect", "-", "--detector", detector, "--threads", "1", stdin=machine.encode()).out
        assert "that a machine wrote it" in said
        assert f"Detector '{detector.stem}'" in said
    assert "too short to say" in command("detect", "-", "--detector", words, "--threads", "1", stdin=b"two words").out
    code, out, _ = command(
        "detect", "report", pairs_from_tiny, "--detector", words, "--detector", head, "--threads", "1", "--json"
    )
    assert code == 0
    assert {"words", "head", "likelihood", "line breaks"} <= set(json.loads(out)["groups"][0]["auroc"])
    code, _, err = command("detect", "train", pairs_from_tiny, "--kind", "tfidx", "--out", words)
    assert code == 2
    assert "--kind = 'tfidx' is not one of features, tfidf, discriminator. Did you mean 'tfidf'?" in err


def test_pairs_come_from_a_pipe_and_a_page_goes_into_one(command, essay: Path, tmp_path: Path) -> None:
    human = json.dumps({"text": TEXT, "set": "letters"}).encode()
    built = command("detect", "build", "-", "--out", "-", "--length", "34", "--threads", "1", stdin=human)
    assert (built.code, json.loads(built.out)["set"]) == (0, "letters_tiny")
    svg = command("detect", "report", "-", "--svg", "-", "--threads", "1", stdin=built.out.encode())
    assert svg.code == 0
    assert svg.out.startswith("<svg ") and svg.out.endswith("</svg>\n")
    for arguments in (("train", "-", "--out", tmp_path / "d"), ("report", "-"), ("build", "-", "--out", "-")):
        wrong = command("detect", *arguments, stdin=b"{}\n[\n")
        assert (wrong.code, wrong.out) == (2, "")
        assert wrong.err.startswith("gpt2lab: Standard input, line 1 has no text under 'human'") or "build" in arguments
        assert wrong.err.startswith("gpt2lab: Standard input, line 1 ")
    page = command("detect", essay, "--html", "-", "--threads", "1")
    assert page.code == 0
    assert page.out.startswith("<!doctype html>") and page.out.endswith("</html>\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("blank.jsonl",), "blank.jsonl holds no text to judge."),
        (("essay.txt", "--gltr", "--html", "x"), "--gltr writes GLTR's payload and nothing else"),
        (("build", "essay.txt", "--out", "p", "--limit", "0"), "--limit = 0 must be a whole number of at least 1."),
        (("build", "essay.txt", "--out", "p", "--prompt-tokens", "0"), "--prompt-tokens = 0 must be a whole number"),
        (("build", "bytes", "--out", "p"), "bytes is not UTF-8 text: invalid start byte at byte 0."),
        (("train", "bytes", "--out", "d"), "bytes, line 1 is not UTF-8 text: invalid start byte at its byte 0."),
        (("train", "pairs.jsonl", "--out", "d", "--strength", "nan"), "--strength = nan must be positive."),
        (
            ("train", "pairs.jsonl", "--out", "d", "--kind", "discriminator", "--epochs", "nan"),
            "--epochs = nan must be",
        ),
        (("train", "pairs.jsonl", "--out", "d", "--kind", "discriminator", "--threads", "0"), "--threads = 0 must be"),
        (("report", "pairs.jsonl", "--hold-out-generator", "x"), "Nothing is held out to judge on"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: tuple[str, ...], message: str, command, essay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("blank.jsonl").write_text("\n\n", encoding="utf-8")
    Path("bytes").write_bytes(b"\xff")
    pairs = ({"human": "one", "machine": "two", "set": f"corpus_{generator}"} for generator in "xy")
    Path("pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = command("detect", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
