"""The survey of language models: its data hold together, and filters, sorting and tables say what the data say."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gpt2lab.checkpoint import known_models
from gpt2lab.errors import ConfigError
from gpt2lab.evals.survey.entries import COLUMNS, DATA, FIGURES, Entry, Survey, select, survey
from gpt2lab.evals.survey.tables import render

NAMED_IN_THE_REVIEW = {
    "ulmfit", "elmo", "gpt", "bert", "mt-dnn", "gpt2", "siatl", "ernie-baidu", "mass", "unilm", "ernie-thu", "bert-wwm",
    "xlnet", "roberta", "spanbert", "ernie2",
}  # fmt: skip


@pytest.fixture(scope="module")
def known() -> Survey:
    return survey()


def keys(entries: list[Entry]) -> list[str]:
    return [entry.key for entry in entries]


# --- the data


def test_all_models_are_there_oldest_first(known: Survey) -> None:
    assert set(keys(list(known.models))) == NAMED_IN_THE_REVIEW
    assert [entry.date for entry in known.models] == sorted(entry.date for entry in known.models)
    assert all("2018-01" <= entry.date <= "2019-12" for entry in known.models)


def test_every_source_is_a_page_and_every_figure_says_where(known: Survey) -> None:
    used = set()
    for entry in known.models:
        assert entry.figures, entry.key
        used |= {entry.paper, *(figure.source for figure in entry.figures)}
        for figure in entry.figures:
            assert figure.value > 0
            assert figure.where
    assert used == set(known.sources)
    for source in known.sources.values():
        assert re.fullmatch(r"https://[\w.-]+/\S+", source.url)
        assert source.title


def test_sizes_grow_and_the_shapes_fit_the_number_of_parameters(known: Survey) -> None:
    for entry in known.models:
        counted = [size for size in entry.sizes if size.parameters is not None]
        assert [s.parameters.value for s in counted] == sorted(s.parameters.value for s in counted)
        for size in entry.sizes:
            assert size.layers is not None
            assert size.width is not None
            if entry.extractor == "LSTM":
                assert size.heads is None
                continue
            assert size.heads is not None
            assert size.width.value % size.heads.value == 0
            if size.parameters is not None:
                # a block has 12 width² weights; the rest is the vocabulary, at most half of so small a model. Half of
                # Tsinghua's layers read words alone and all are counted once
                blocks = 12 * size.layers.value * size.width.value**2
                assert 0.5 * size.parameters.value < blocks < size.parameters.value, (entry.key, size.name)


def test_gpt_2_is_as_the_checkpoints_are(known: Survey) -> None:
    published = {(m.parameters, m.n_layer, m.n_embd, m.n_head) for m in known_models(None) if m.where != "embedded"}
    sizes = known.find("GPT-2").sizes
    assert {(s.parameters.value, s.layers.value, s.width.value, s.heads.value) for s in sizes} == published


def test_gpt_1_is_counted_from_its_shape(known: Survey) -> None:
    vocabulary, positions, width, layers = 40_478, 512, 768, 12
    block = 4 * width + width * 4 * width * 2 + 5 * width + width * 4 * width + 4 * width  # norms, mlp, attention
    assert known.find("gpt").largest.parameters.value == (vocabulary + positions) * width + layers * block


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('date = "2018-01"', 'date = "2018"'), "date = '2018' of ulmfit is not a month; write it as 2019-02."),
        (('masks = ["causal"]', 'masks = ["none"]'), "masks of ulmfit: 'none' is not one of causal, backward, masked"),
        (('key = "elmo"', 'key = "ulmfit"'), "The model 'ulmfit' is described twice."),
        (('paper = "elmo"', 'paper = "emlo"'), "elmo names the source 'emlo', which [sources] does not have."),
        (('source = "ulmfit"', 'source = "?"'), "ulmfit names the source '?', which [sources] does not have."),
        (("value = 3,", 'value = "3",'), "model[0].sizes[0].layers.value = '3' must be of type int."),
        (('extractor = "LSTM"', 'extractor = "RNN"'), "extractor = 'RNN' is not one of 'LSTM', 'Transformer decoder'"),
        (("\n[sources]", "\n[source]"), "Unknown key 'source' in "),
        (('key = "ulmfit"', 'kye = "ulmfit"'), "Unknown key 'model[0].kye'. Did you mean 'model[0].key'?"),
    ],
)
def test_data_that_do_not_hold_together_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = DATA.read_text(encoding="utf-8")
    assert change[0] in text
    changed = tmp_path / "models.toml"
    changed.write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        survey(changed)
    assert message in str(caught.value)


def test_a_model_without_sizes_is_refused(tmp_path: Path) -> None:
    text = DATA.read_text(encoding="utf-8")
    first = text[: text.index("[[model.sizes]]")] + "sizes = []\n"
    changed = tmp_path / "models.toml"
    changed.write_text(first, encoding="utf-8")
    with pytest.raises(ConfigError, match="ulmfit has no sizes; give at least one"):
        survey(changed)


def test_a_model_is_found_by_key_or_name(known: Survey) -> None:
    assert known.find("ERNIE 1.0 (baidu)") is known.find("ERNIE-baidu")
    with pytest.raises(ConfigError, match=r"'roberto' is not a surveyed model. Did you mean 'roberta'\? There are ulm"):
        known.find("roberto")


# --- filters and order


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["extractor=lstm"], ["ulmfit", "elmo", "siatl"]),
        (["extractor!=Transformer encoder", "date>=2019-02"], ["gpt2", "siatl", "mass", "xlnet"]),
        (["name~ernie", "language=Chinese"], ["ernie-baidu"]),
        (["use=zero-shot"], ["gpt2"]),
        (["use!=fine-tuning"], ["elmo", "gpt2"]),
        (["parameters>1B"], ["gpt2"]),
        (["parameters = 340,000,000", "window=512", "kind=both kinds"], ["unilm"]),
        (["parameters<100m"], ["elmo"]),
        (["parameters!=340M", "heads>=16"], ["gpt2", "roberta"]),
        (["layers<=2"], ["elmo", "siatl"]),
        (["data~stories"], ["roberta"]),
        (["date<=2018"], ["ulmfit", "elmo", "gpt", "bert"]),
        (["date>2018", "date<2019-03"], ["mt-dnn", "gpt2", "siatl"]),
        (["heads~2", "layers=12", "date=2018-06"], ["gpt"]),
        (["masking~no such words"], []),
    ],
)
def test_filters(known: Survey, conditions: list[str], expected: list[str]) -> None:
    assert keys(select(known.models, conditions)) == expected


def test_what_has_no_figure_meets_no_condition_and_comes_last(known: Survey) -> None:
    assert "mass" not in keys(select(known.models, ["parameters!=1"]))
    for descending in (False, True):
        ordered = select(known.models, sort="parameters", descending=descending)
        assert {entry.key for entry in ordered[-4:]} == {"ulmfit", "siatl", "ernie-baidu", "mass"}
        values = [entry.largest.parameters.value for entry in ordered[:-4]]
        assert values == sorted(values, reverse=descending)
        assert len(ordered) == len(known.models)


def test_sorting_by_words_ignores_case(known: Survey) -> None:
    names = [entry.organisation for entry in select(known.models, sort="organisation")]
    assert names == sorted(names, key=str.lower)
    assert names != sorted(names)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("layers", "'layers' is not a condition; write a column, one of = != ~ >= <= > < and a value, for example "),
        ("layers>", "'layers>' is not a condition"),
        ("layer>2", "'layer' is not a column. Did you mean 'layers'? Columns: name, date, "),
        ("name>2", "'name>2' compares words by size; > is for parameters, layers, width, heads, window, date."),
        ("layers>many", "'layers>many': 'many' is not a number; write it as 768, 340M or 1.5B."),
        ("layers=many", "'layers=many': 'many' is not a number"),
    ],
)
def test_mistaken_conditions(known: Survey, condition: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(known.models, [condition])
    assert message in str(caught.value)


# --- tables


def test_text_names_doubts_and_gaps(known: Survey) -> None:
    table = render(known, select(known.models, ["name~GPT"]), "text")
    lines = table.splitlines()
    assert lines[0].split() == ["model", "first", "version", "network", "kind", *FIGURES]
    assert lines[1].split()[-5:] == ["117M?", "12", "768", "12", "512"]
    assert lines[2].split()[-5:] == ["1.56B", "48", "1600", "25", "1024"]
    assert "? is not the paper's own" in table
    assert "?" not in render(known, [known.find("gpt2")], "text")
    assert render(known, [known.find("gpt2")], "text", columns=["name", "use"]) == (
        "model  used by\nGPT-2  zero-shot, generation\n"
    )


def test_csv_can_be_read_back(known: Survey) -> None:
    rows = list(csv.DictReader(io.StringIO(render(known, known.models, "csv"))))
    assert list(rows[0]) == list(COLUMNS)
    by_name = {row["name"]: row for row in rows}
    assert by_name["GPT-2"]["parameters"] == "1557611200"
    assert by_name["MASS"]["parameters"] == ""
    assert by_name["BERT"]["objectives"] == "masked tokens, next sentence"


def test_json_holds_everything_and_only_the_sources_it_names(known: Survey) -> None:
    value = json.loads(render(known, [known.find("gpt2")], "json"))
    assert set(value["sources"]) == {"gpt2", "gpt2-code"}
    (model,) = value["models"]
    assert [size["name"] for size in model["sizes"]] == ["124M", "355M", "774M", "1558M"]
    assert model["sizes"][0]["heads"] == {"value": 12, "source": "gpt2-code", "where": "hparams.json", "doubt": ""}


def test_markdown_numbers_its_sources(known: Survey) -> None:
    table = render(known, known.models, "markdown")
    head, rule, *rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == len(known.models)
    assert {line.count("|") for line in (head, rule, *rows)} == {len(COLUMNS) + 1}
    listed = {int(n) for n in re.findall(r"^(\d+)\. ", table, re.MULTILINE)}
    named = {int(n) for row in rows for n in re.findall(r"\[(\d+)[,\]]", row)}
    assert named == listed == set(range(1, len(known.sources) + 1))
    letters = set(re.findall(r"^- (\w+): ", table, re.MULTILINE))
    assert letters == {letter for row in rows for letter in re.findall(r", (\w{1,2})\](?: \w+)?", row)}


class _Page(HTMLParser):
    """Counts rows and checks that what is opened is closed and that links lead somewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows, self.ids, self.links, self.outside = 0, set[str](), set[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)
        self.rows += tag == "tr"
        if given.get("id"):
            self.ids.add(given["id"])
        if tag == "a":
            (self.links if given["href"].startswith("#") else self.outside).add(given["href"].removeprefix("#"))
        assert not {"src", "srcset"} & set(given), "the page needs nothing from outside"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_its_links_lead_to_its_sources(known: Survey) -> None:
    text = render(known, known.models, "html")
    page = _Page(text)
    assert page.open == []
    assert page.rows == 1 + len(known.models)
    assert page.links == page.ids != set()
    assert page.outside == {source.url for source in known.sources.values()}
    assert text.count("<svg") == len({mask for entry in known.models for mask in entry.masks})


def test_words_are_escaped(known: Survey, tmp_path: Path) -> None:
    changed = tmp_path / "models.toml"
    changed.write_text(DATA.read_text(encoding="utf-8").replace('name = "ULMFiT"', 'name = "<b>|x"'), encoding="utf-8")
    other = survey(changed)
    assert '<td data-v="&lt;b&gt;|x">&lt;b&gt;|x</td>' in render(other, other.models, "html")
    assert "| <b>\\|x |" in render(other, other.models, "markdown")


def test_mistaken_columns_and_forms(known: Survey) -> None:
    with pytest.raises(ConfigError, match=r"'nmae' is not a column. Did you mean 'name'\?"):
        render(known, known.models, "text", columns=["nmae"])
    with pytest.raises(ConfigError, match=r"format = 'htm' is not one of text, markdown, .* Did you mean 'html'\?"):
        render(known, known.models, "htm")  # type: ignore[arg-type]
