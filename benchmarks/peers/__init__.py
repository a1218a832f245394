"""The engines that are measured: ours and the others, a file each."""

from __future__ import annotations

from benchmarks.peers.base import Peer
from benchmarks.worker import load_class

TARGETS = {
    "gpt2lab": "benchmarks.peers.gpt2lab:Native",
    "transformers": "benchmarks.peers.transformers:Transformers",
    "ctranslate2": "benchmarks.peers.ctranslate2:CTranslate2",
    "llama.cpp": "benchmarks.peers.llama_cpp:LlamaCpp",
    "openvino": "benchmarks.peers.openvino:OpenVino",
    "onnxruntime": "benchmarks.peers.onnxruntime:OnnxRuntime",
}
"""Name on the command line -> "module:Class"."""

OURS = "gpt2lab"


def peer_class(name: str) -> type[Peer]:
    """Return the class of the engine `name`; imports no engine."""
    found: type[Peer] = load_class(TARGETS[name])
    return found
