"""Matrix products and ResNet18 of PyTorch on an NVIDIA GPU, beside wizen's on the same device in the same run.

    python3 -m venv venv && venv/bin/pip install torch torchvision safetensors
    venv/bin/python benches/rivals/torch_cuda.py target/release/wizen [--json]

Products: cuBLAS in fp32 (with and without TF32), fp16 and int8 (int32 results). ResNet18 has random weights, the same in both;
torch runs it in fp32 and in channels-last fp16, as it is and recorded as a CUDA graph, from images on the device to logits on
the host, without its own int8, which has no convolutions on GPUs. wizen's figures are those of `wizen bench`: images from the
host, logits to the host. Medians after a warm-up.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import safetensors.torch
import torch
import torchvision

SIZES = [1024, 2048, 4096]
BATCHES = [1, 8, 64]
RUNS = 20
# Decibels between the logits of fp16 and fp32, at least.
CLOSE = 30


def timed(run, times):
    """Median milliseconds of a run, by the device's own clock, of several in a row."""
    for _ in range(3):
        run()
    samples = []
    for _ in range(5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(times):
            run()
        end.record()
        end.synchronize()
        samples.append(start.elapsed_time(end) / times)
    return statistics.median(samples)


def products():
    rows = []
    for n in SIZES:
        a, b = (torch.randn(n, n, device="cuda") for _ in range(2))
        half = [a.half(), b.half()]
        ints = [torch.randint(-127, 128, (n, n), device="cuda", dtype=torch.int8) for _ in range(2)]
        want = a.double() @ b.double().T
        kinds = {
            "fp32": (False, lambda: a @ b.T),
            "fp32 as TF32": (True, lambda: a @ b.T),
            "fp16": (False, lambda: half[0] @ half[1].T),
            "int8": (False, lambda: torch._int_mm(ints[0], ints[1].T)),
        }
        for precision, (tf32, run) in kinds.items():
            torch.backends.cuda.matmul.allow_tf32 = tf32
            if precision == "int8":
                exact = ints[0].double() @ ints[1].double().T
                assert torch.equal(run().double(), exact), "torch's int8 product is exact"
            else:
                error = (run().double() - want).norm() / want.norm()
                # Rounding to fp16, or of the factors to TF32, leaves about 5e-4; a wrong product about 1.
                assert error < 2e-3, f"torch's {precision} product is off by {error}"
            ms = timed(run, 20)
            rows.append({"precision": precision, "n": n, "torch_ms": ms, "torch_gops": 2e-6 * n**3 / ms})
    return rows


def network(batch):
    """Milliseconds of torch's ResNet18 by precision; its weights are those of the checkpoint, by the same seed."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    model = torchvision.models.resnet18().eval().cuda()
    images = torch.randn(batch, 3, 224, 224, device="cuda")
    times, want = {}, None
    for precision in ["fp32", "fp16"]:
        if precision == "fp16":
            model, images = (x.half().to(memory_format=torch.channels_last) for x in [model, images])

        with torch.inference_mode():
            got = model(images).float().cpu()
            want = got if want is None else want
            noise = (got - want).square().sum() / want.square().sum()
            assert noise <= 10 ** (-CLOSE / 10), f"torch's {precision} logits are off"
            for _ in range(3):
                model(images)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                logits = model(images)

            def replay():
                graph.replay()
                return logits

            for kind, run in {"": lambda: model(images), " as a graph": replay}.items():
                samples = []
                for _ in range(RUNS + 3):
                    start = time.perf_counter()
                    run().cpu()
                    samples.append((time.perf_counter() - start) * 1e3)
                times[precision + kind] = statistics.median(samples[3:])
    return times


def ours(wizen, checkpoint, batch):
    command = [wizen, "bench", checkpoint, "--batch", str(batch), "--runs", str(RUNS), "--json"]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result = json.loads(out)
    return result["device"], {row["precision"]: row["ms"] for row in result["rows"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wizen", help="the executable")
    parser.add_argument("--json", action="store_true", help="one object on stdout instead of tables")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device")
    name = torch.cuda.get_device_name()
    torch.manual_seed(1)
    folder = tempfile.TemporaryDirectory()
    checkpoint = Path(folder.name) / "resnet18.safetensors"
    state = torchvision.models.resnet18().state_dict()
    safetensors.torch.save_file({k: v for k, v in state.items() if "num_batches" not in k}, checkpoint)
    matrix, rows = products(), []
    for batch in BATCHES:
        theirs = network(batch)
        device, wizen = ours(args.wizen, str(checkpoint), batch)
        if name not in device:
            sys.exit(f"wizen runs on {device}, torch on {name}")
        for who, times in {"wizen": wizen, "torch": theirs}.items():
            for precision, ms in times.items():
                rows.append({"who": who, "precision": precision, "batch": batch, "ms": ms, "images_per_second": 1e3 * batch / ms})
    if args.json:
        print(json.dumps({"device": device, "torch": torch.__version__, "products": matrix, "resnet18": rows}))
        return
    print(f"{device}; torch {torch.__version__}\n\n| product | N | torch ms | GOP/s |\n|---|--:|--:|--:|")
    for row in matrix:
        print(f"| {row['precision']} | {row['n']} | {row['torch_ms']:.3f} | {row['torch_gops']:.0f} |")
    print("\n| ResNet18 | batch | ms | images/s |\n|---|--:|--:|--:|")
    for row in rows:
        label = f"{row['who']}, {row['precision']}"
        print(f"| {label} | {row['batch']} | {row['ms']:.2f} | {row['images_per_second']:.0f} |")


if __name__ == "__main__":
    main()
