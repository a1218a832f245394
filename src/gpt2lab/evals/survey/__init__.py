"""The language models of 2018 and 2019 side by side, as data with sources, as tables, and as drawn attention masks."""
