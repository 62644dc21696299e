"""ResNet18 through ncnn's Vulkan backend, beside wizen's on the same device in the same run.

    python3 -m venv venv && venv/bin/pip install ncnn numpy
    venv/bin/python benches/rivals/ncnn_resnet18.py target/release/wizen resnet18.safetensors

Writes ncnn's model files (random weights; speed does not depend on them) into a temporary folder, then times both in turn:
a warm-up, then runs of which the median counts. One image per run.
"""

import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ncnn
import numpy as np

RUNS = 9
ROUNDS = 2
INT8_TAG = 0x000D4B38


class Writer:
    """The text of ncnn's `.param` and the bytes of its `.bin`."""

    def __init__(self, int8):
        self.int8, self.layers, self.blobs, self.weights = int8, [], 0, bytearray()
        self.rng = np.random.default_rng(1)

    def layer(self, kind, name, inputs, outputs, **params):
        values = " ".join(f"{key[1:]}={value}" for key, value in params.items())
        names = " ".join([*inputs, *outputs])
        self.layers.append(f"{kind} {name} {len(inputs)} {len(outputs)} {names} {values}")
        self.blobs += len(outputs)
        return outputs[0]

    def tensors(self, outputs, size):
        if self.int8:
            self.weights += struct.pack("<I", INT8_TAG)
            data = self.rng.integers(-127, 128, size, dtype=np.int8).tobytes()
            self.weights += data + bytes(-len(data) % 4)
        else:
            self.weights += struct.pack("<I", 0)
            self.weights += (self.rng.standard_normal(size) * 0.02).astype(np.float32).tobytes()
        self.weights += np.zeros(outputs, np.float32).tobytes()
        if self.int8:
            self.weights += np.full(outputs, 50.0, np.float32).tobytes()
            self.weights += np.full(1, 20.0, np.float32).tobytes()

    def conv(self, name, x, channels, outputs, kernel, stride, relu):
        size = outputs * channels * kernel * kernel
        self.tensors(outputs, size)
        more = {"_8": 2} if self.int8 else {}
        return self.layer(
            "Convolution", name, [x], [name], _0=outputs, _1=kernel, _3=stride, _4=kernel // 2, _5=1,
            _6=size, **more, _9=int(relu),
        )

    def save(self, folder):
        lines = ["7767517", f"{len(self.layers)} {self.blobs}", *self.layers]
        (folder / "net.param").write_text("\n".join(lines) + "\n")
        (folder / "net.bin").write_bytes(self.weights)


def resnet18(writer):
    x = writer.layer("Input", "data", [], ["data"], _0=224, _1=224, _2=3)
    x = writer.conv("conv1", x, 3, 64, 7, 2, True)
    x = writer.layer("Pooling", "maxpool", [x], ["maxpool"], _0=0, _1=3, _2=2, _3=1, _5=1)
    channels = 64
    for stage, width in enumerate([64, 128, 256, 512]):
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            a, b = f"{name}.a", f"{name}.b"
            writer.layer("Split", f"{name}.split", [x], [a, b])
            y = writer.conv(f"{name}.conv1", a, channels, width, 3, stride, True)
            y = writer.conv(f"{name}.conv2", y, width, width, 3, 1, False)
            if stride != 1 or channels != width:
                b = writer.conv(f"{name}.downsample", b, channels, width, 1, stride, False)
            y = writer.layer("BinaryOp", f"{name}.add", [y, b], [f"{name}.sum"], _0=0)
            x = writer.layer("ReLU", f"{name}.relu", [y], [f"{name}.out"])
            channels = width
    x = writer.layer("Pooling", "avgpool", [x], ["avgpool"], _0=1, _4=1)
    size = 1000 * 512
    writer.tensors(1000, size)
    more = {"_8": 2} if writer.int8 else {}
    writer.layer("InnerProduct", "fc", [x], ["fc"], _0=1000, _1=1, _2=size, **more)


def rival(precision):
    """A function that runs one image and returns its milliseconds."""
    folder = Path(tempfile.mkdtemp())
    writer = Writer(precision == "int8")
    resnet18(writer)
    writer.save(folder)
    net = ncnn.Net()
    net.opt.use_vulkan_compute = True
    half = precision == "fp16"
    for option in ["use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"]:
        setattr(net.opt, option, half)
    assert net.load_param(str(folder / "net.param")) == 0 and net.load_model(str(folder / "net.bin")) == 0
    image = ncnn.Mat(np.random.default_rng(2).standard_normal((3, 224, 224)).astype(np.float32))

    def run():
        start = time.perf_counter()
        extractor = net.create_extractor()
        assert extractor.input("data", image) == 0
        status, out = extractor.extract("fc")
        assert status == 0 and np.isfinite(np.array(out)).all() and out.w == 1000
        return (time.perf_counter() - start) * 1e3

    return run


def ours(wizen, checkpoint):
    command = [wizen, "bench", checkpoint, "--batch", "1", "--runs", str(RUNS), "--no-tune", "--json"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(out)
    return result["device"], {row["precision"]: row["ms"] for row in result["rows"]}


def main():
    wizen, checkpoint = sys.argv[1:]
    times = {"wizen": {}, "ncnn": {}}
    rivals = {precision: rival(precision) for precision in ["fp32", "fp16", "int8"]}
    for _ in range(ROUNDS):
        device, rows = ours(wizen, checkpoint)
        for precision, ms in rows.items():
            times["wizen"].setdefault(precision, []).append(ms)
        for precision, run in rivals.items():
            run()
            ms = statistics.median(run() for _ in range(RUNS))
            times["ncnn"].setdefault(precision, []).append(ms)
    print(f"ResNet18, batch 1, on {device}; ncnn on {ncnn.get_gpu_info(0).device_name()}")
    print("| | wizen ms | ncnn ms | ncnn / wizen |\n|---|--:|--:|--:|")
    for precision in rivals:
        a, b = (statistics.median(times[who][precision]) for who in ["wizen", "ncnn"])
        print(f"| {precision} | {a:.0f} | {b:.0f} | {b / a:.2f} |")


if __name__ == "__main__":
    main()
