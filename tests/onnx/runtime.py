"""What ONNX Runtime answers: RUNTIME.PY MODEL.onnx INPUTS.safetensors OUTPUTS.safetensors.

Checks the file with onnx.checker first. Inputs are [n, ...] arrays called like the inputs. Needs the packages onnx,
onnxruntime and safetensors.
"""

import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file


def main() -> None:
    path, inputs, outputs = sys.argv[1:4]
    onnx.checker.check_model(onnx.load(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    results = session.run(names, load_file(inputs))
    save_file({name: np.ascontiguousarray(y) for name, y in zip(names, results)}, outputs)


main()
