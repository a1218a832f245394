"""From text files to batches of token ids: documents, cleaning, shards on disk, windows in random order."""

from gpt2lab.data.batches import Batches, spread_windows
from gpt2lab.data.documents import Document, read_documents
from gpt2lab.data.prepare import CorpusRecipe, prepare
from gpt2lab.data.shards import Corpus, Manifest

__all__ = ["Batches", "Corpus", "CorpusRecipe", "Document", "Manifest", "prepare", "read_documents", "spread_windows"]
