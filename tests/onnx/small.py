"""Writes the tiny networks of tests/onnx/small, with what ONNX Runtime answers for them: SMALL.PY [FOLDER].

NAME.onnx is a network, NAME.safetensors an example: `in:NAME` are its inputs, `out:NAME` the answers of ONNX Runtime
(float32, images as [n, c, h, w]), `step:NAME` the scale of an answer that stands for integers. Two runs write the same
bytes. Needs the packages onnx, onnxruntime and safetensors.
"""

import pathlib
import sys

sys.dont_write_bytecode = True
import small_float
import small_quantized


def main() -> None:
    here = pathlib.Path(__file__).parent / "small"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    folder.mkdir(parents=True, exist_ok=True)
    kinds = set()
    networks = small_float.NETWORKS | small_quantized.NETWORKS
    for old in folder.iterdir():
        if old.suffix in (".onnx", ".safetensors", ".bin"):
            old.unlink()
    for name, (make, build) in networks.items():
        net = make(name)
        build(net)
        net.write(folder, external=name == "external_data")
        kinds |= {node.op_type for node in net.nodes}
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    largest = max(sizes, key=sizes.get)
    print(f"{len(networks)} networks of {len(kinds)} operators, {sum(sizes.values())} bytes; {largest}: {sizes[largest]}")
    print(*sorted(kinds))


main()
