"""The magnitude mask of as many weights as ResNet18 has: `torch.topk` on the CPU, beside wizen's `masks` bench.

    python3 -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python benches/rivals/torch_topk.py [--json]

wizen's figure is the median that `cargo bench --bench kernels -- masks` leaves (it uploads the weights, and reads the mask
back). torch runs before and after it, with as many threads as it takes by itself and without sorting what it keeps; the
median of its runs counts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
LEN = 11_689_512
RUNS = 7


def mask_of(weights):
    kept = torch.topk(weights.abs(), LEN // 2, sorted=False).indices
    mask = torch.zeros(LEN, dtype=torch.bool)
    mask[kept] = True
    return mask


def check(weights, mask):
    kept, dropped = weights.abs()[mask], weights.abs()[~mask]
    if len(kept) != LEN // 2 or not kept.min() >= dropped.max():
        sys.exit("torch's mask does not keep the larger half")


def rival(weights):
    """Milliseconds of every run, after a warm-up that is checked."""
    check(weights, mask_of(weights))
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        mask_of(weights)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def ours():
    """Runs wizen's bench (which checks that exactly half is kept); device and median in milliseconds."""
    cargo = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    metadata = subprocess.run(cargo, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    folder = Path(json.loads(metadata)["target_directory"]) / "criterion" / "masks" / "half_of_resnet18" / "new"
    estimates = folder / "estimates.json"
    # What an earlier run left must not pass for this one's.
    estimates.unlink(missing_ok=True)
    cargo = ["cargo", "bench", "--bench", "kernels", "--", "masks"]
    out = subprocess.run(cargo, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    if not estimates.exists():
        sys.exit("wizen's bench timed nothing")
    device = next(line.removeprefix("on ") for line in out.splitlines() if line.startswith("on "))
    elements = json.loads((folder / "benchmark.json").read_text())["throughput"]["Elements"]
    if elements != LEN:
        sys.exit(f"wizen's bench masks {elements} weights, this script {LEN}")
    return device, json.loads(estimates.read_text())["median"]["point_estimate"] * 1e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one object on stdout instead of the table")
    args = parser.parse_args()
    weights = torch.randn(LEN, generator=torch.Generator().manual_seed(1))
    times = rival(weights)
    device, wizen = ours()
    torch_ms = statistics.median(times + rival(weights))
    result = {
        "device": device, "torch": torch.__version__, "torch_threads": torch.get_num_threads(),
        "wizen_ms": wizen, "torch_ms": torch_ms, "ratio": torch_ms / wizen,
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"Mask of the larger half of {LEN} weights: wizen on {device}; torch {torch.__version__} on the CPU, "
          f"{torch.get_num_threads()} threads\n")
    print("| | wizen ms | torch ms | torch / wizen |\n|---|--:|--:|--:|")
    print(f"| masks | {wizen:.0f} | {torch_ms:.0f} | {torch_ms / wizen:.2f} |")


if __name__ == "__main__":
    main()
