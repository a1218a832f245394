"""What a user would do to Optimum's ONNX model of GPT-2 before timing it; runs in the export environment.

    python -m benchmarks.peers.onnx_graph SOURCE fp32|int8|int4 TARGET

Logits of the last position only; int8 by the runtime's dynamic quantisation, int4 in blocks of 32 with int8 products.
"""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    source, form, target = sys.argv[1:]
    wrapped = ONNXModel(last_position_only(onnx.load(source)))
    wrapped.replace_gemm_with_matmul()  # the quantisers know MatMul alone
    if form == "int4":
        wrapped = in_blocks_of_int4(wrapped.model)
    wrapped.save_model_to_file(target)
    if form == "int8":
        quantise_in_place(target)


def last_position_only(model: Any) -> Any:
    """Cut the states before the head to the last position, so that a prompt costs one row of logits."""
    import numpy as np
    from onnx import helper, numpy_helper

    (head,) = (node for node in model.graph.node if "logits" in node.output)
    for name, value in (("first", -1), ("end", 2**31 - 1), ("axis", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), f"cut.{name}"))
    cut = helper.make_node("Slice", [head.input[0], "cut.first", "cut.end", "cut.axis"], ["cut.state"])
    model.graph.node.insert(list(model.graph.node).index(head), cut)
    head.input[0] = "cut.state"
    return model


def in_blocks_of_int4(model: Any) -> Any:
    """Return the model with its matrices in symmetric int4, a scale for every 32 weights."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=True, accuracy_level=4)
    quantizer.process()
    return quantizer.model


def quantise_in_place(path: str) -> None:
    """Quantise matrices and the embedding to int8, a scale for every output channel."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        path,
        path,
        op_types_to_quantize=["MatMul", "Gather"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
    )


if __name__ == "__main__":
    main()
