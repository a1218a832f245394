"""GPT-2's tokenizer: text to token ids and back, own vocabularies, all file formats.

Imports nothing heavy: the Rust library behind it is loaded when a tokenizer is first used.
"""

from gpt2lab.tokenizer.stream import StreamDecoder
from gpt2lab.tokenizer.tokenizer import TokenizedText, Tokenizer
from gpt2lab.tokenizer.training import train_tokenizer
from gpt2lab.tokenizer.vocabulary import AddedToken, Vocabulary

__all__ = ["AddedToken", "StreamDecoder", "TokenizedText", "Tokenizer", "Vocabulary", "train_tokenizer"]
