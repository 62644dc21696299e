"""Writes ONNX's own cases of single operators as files: NODES.PY FOLDER.

For each case FOLDER/NAME/ gets all.onnx (every float input is an input), one.onnx (inputs but the first are
constants of the file) and io.safetensors (`in NAME` and `out NAME`). Needs the packages onnx and safetensors.
"""

import pathlib
import sys

import numpy as np
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from safetensors.numpy import save_file

OPERATORS = """Conv ConvTranspose Gemm MatMul BatchNormalization InstanceNormalization LayerNormalization
GroupNormalization Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid HardSwish Tanh Elu Selu Celu Softplus Softsign Mish
Erf Gelu Softmax LogSoftmax Exp Log Sqrt Abs Neg Reciprocal Pow Add Sub Mul Div Min Max Sum Mean Concat Split Slice Pad
Reshape Flatten Transpose Squeeze Unsqueeze Expand Tile Resize Upsample DepthToSpace SpaceToDepth Gather MaxPool
AveragePool GlobalAveragePool GlobalMaxPool ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2
ReduceSumSquare ArgMax LRN Identity Dropout Floor Ceil Round QuantizeLinear DequantizeLinear QLinearConv
QLinearMatMul""".split()


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    written = 0
    for case in collect_testcases(None):
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in OPERATORS or nodes[0].domain:
            continue
        inputs, outputs = case.data_sets[0]
        if not all(isinstance(x, np.ndarray) and x.dtype.kind in "fiub" for x in [*inputs, *outputs]):
            continue
        here = folder / case.name
        here.mkdir(parents=True, exist_ok=True)
        arrays = {}
        graph = case.model.graph
        for kind, infos, values in (("in", graph.input, inputs), ("out", graph.output, outputs)):
            for info, value in zip(infos, values):
                arrays[f"{kind} {info.name}"] = np.ascontiguousarray(value.astype(np.float32))
        save_file(arrays, here / "io.safetensors")
        for name in ("all", "one"):
            model = type(case.model)()
            model.CopyFrom(case.model)
            for i, (info, value) in enumerate(zip(case.model.graph.input, inputs)):
                is_float = info.type.tensor_type.elem_type == TensorProto.FLOAT
                if i == 0 or (name == "all" and is_float):
                    continue
                model.graph.initializer.append(numpy_helper.from_array(value, info.name))
            (here / f"{name}.onnx").write_bytes(model.SerializeToString())
        written += 1
    print(f"{written} cases")


main()
