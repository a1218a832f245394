"""From files of text to batches of token ids: documents, cleaning, shards on disk, windows in random order."""

from gpt2lab.data.batches import Batches, spread_windows
from gpt2lab.data.documents import Document, read_documents
from gpt2lab.data.filters import FilterRecipe
from gpt2lab.data.npz import read_npz, write_npz
from gpt2lab.data.prepare import prepare
from gpt2lab.data.recipe import CorpusRecipe
from gpt2lab.data.shards import Corpus, Manifest

__all__ = [
    "Batches",
    "Corpus",
    "CorpusRecipe",
    "Document",
    "FilterRecipe",
    "Manifest",
    "prepare",
    "read_documents",
    "read_npz",
    "spread_windows",
    "write_npz",
]
