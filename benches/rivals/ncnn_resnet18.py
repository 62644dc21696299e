"""ResNet18 through ncnn's Vulkan backend, beside wizen's on the same device in the same run.

    python3 -m venv venv && venv/bin/pip install ncnn numpy
    venv/bin/python benches/rivals/ncnn_resnet18.py target/release/wizen resnet18.safetensors [--json]

Writes ncnn's model files (random weights; speed does not depend on them) into a temporary folder, holds ncnn's logits against
those of its own CPU code, then times both in turn: a warm-up, then runs of which the median counts. ncnn has no batches: eight
images go through one after another (two threads with an extractor each took as long: its Vulkan device has one queue).
"""

import argparse
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

# Timed runs of a round, by images per run.
RUNS = {1: 7, 8: 2}
ROUNDS = 2
PRECISIONS = {1: ["fp32", "fp16", "int8"], 8: ["fp32", "int8"]}
# Decibels between the logits of Vulkan and CPU, at least. A wrong layer gives about 0; in int8 the two round at other places.
CLOSE = {"fp32": 60, "fp16": 30, "int8": 10}
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


def load(folder, precision, vulkan):
    net = ncnn.Net()
    net.opt.use_vulkan_compute = vulkan
    half = precision == "fp16"
    for option in ["use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"]:
        setattr(net.opt, option, half and vulkan)
    if net.load_param(str(folder / "net.param")) or net.load_model(str(folder / "net.bin")):
        sys.exit(f"ncnn cannot load its {precision} network")
    return net


def logits(net, image):
    extractor = net.create_extractor()
    status = extractor.input("data", image)
    status, out = (status, None) if status else extractor.extract("fc")
    if status or out.w != 1000:
        sys.exit(f"ncnn failed: status {status}")
    out = np.array(out)
    if not np.isfinite(out).all():
        sys.exit("ncnn's logits are not finite")
    return out


def check(net, folder, precision, image):
    """Holds the Vulkan logits against those of ncnn's CPU code."""
    want, got = logits(load(folder, precision, False), image), logits(net, image)
    noise = np.square(got - want, dtype=np.float64).sum()
    ratio = 10 * np.log10(np.square(want, dtype=np.float64).sum() / max(noise, 1e-300))
    print(f"ncnn {precision}: Vulkan against CPU {ratio:.1f} dB", file=sys.stderr)
    if not ratio >= CLOSE[precision]:
        sys.exit(f"ncnn's Vulkan {precision} logits are only {ratio:.1f} dB from its CPU's")


class Rival:
    """ncnn's network at one precision, checked."""

    def __init__(self, precision):
        folder = Path(tempfile.mkdtemp())
        writer = Writer(precision == "int8")
        resnet18(writer)
        writer.save(folder)
        self.net = load(folder, precision, True)
        rng = np.random.default_rng(2)
        # A Mat made of an array shares its memory; the clone has its own.
        arrays = (rng.standard_normal((3, 224, 224)).astype(np.float32) for _ in range(8))
        self.images = [ncnn.Mat(array).clone() for array in arrays]
        check(self.net, folder, precision, self.images[0])
        self.run(1)

    def run(self, batch):
        """Runs the images of a batch and returns the milliseconds."""
        start = time.perf_counter()
        for image in self.images[:batch]:
            logits(self.net, image)
        return (time.perf_counter() - start) * 1e3


def ours(wizen, checkpoint, batch):
    command = [wizen, "bench", checkpoint, "--batch", str(batch), "--runs", str(RUNS[batch]), "--no-tune", "--json"]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result = json.loads(out)
    return result["device"], {row["precision"]: row["ms"] for row in result["rows"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wizen", help="the executable")
    parser.add_argument("checkpoint", help="a ResNet18 in fp32")
    parser.add_argument("--json", action="store_true", help="one object on stdout instead of the table")
    args = parser.parse_args()
    if ncnn.get_gpu_count() == 0:
        sys.exit("ncnn sees no Vulkan device")
    name = ncnn.get_gpu_info(0).device_name()
    rivals = {precision: Rival(precision) for precision in PRECISIONS[1]}
    times = {}
    for _ in range(ROUNDS):
        for batch, precisions in PRECISIONS.items():
            device, rows = ours(args.wizen, args.checkpoint, batch)
            if name not in device:
                sys.exit(f"wizen runs on {device}, ncnn on {name}")
            for precision in precisions:
                run = rivals[precision].run
                pair = times.setdefault((batch, precision), ([], []))
                pair[0].append(rows[precision])
                pair[1].append(statistics.median(run(batch) for _ in range(RUNS[batch])))
    rows = []
    for (batch, precision), pair in times.items():
        a, b = map(statistics.median, pair)
        rows.append({"batch": batch, "precision": precision, "wizen_ms": a, "ncnn_ms": b, "ratio": b / a})
    if args.json:
        print(json.dumps({"device": device, "ncnn": ncnn.__version__, "rows": rows}))
        return
    print(f"ResNet18 on {device}; ncnn {ncnn.__version__} (Vulkan) on {name}\n")
    print("| | wizen ms | ncnn ms | ncnn / wizen |\n|---|--:|--:|--:|")
    for row in rows:
        label = f"batch {row['batch']}, {row['precision']}"
        print(f"| {label} | {row['wizen_ms']:.0f} | {row['ncnn_ms']:.0f} | {row['ratio']:.2f} |")


if __name__ == "__main__":
    main()
