"""Makes batch_norm_training.json: the running statistics of a batch norm after one training step, by PyTorch."""
import json
from pathlib import Path

import torch

torch.manual_seed(5)
n, c, side, o, k, classes = 4, 2, 5, 3, 3, 3
conv = torch.nn.Conv2d(c, o, k)
bn = torch.nn.BatchNorm2d(o)
fc = torch.nn.Linear(o * (side - k + 1) ** 2, classes)
with torch.no_grad():
    bn.weight.uniform_(0.5, 1.5)
    bn.bias.uniform_(-0.5, 0.5)
    bn.running_mean.uniform_(-0.3, 0.3)
    bn.running_var.uniform_(0.5, 2.0)
net = torch.nn.Sequential(conv, bn, torch.nn.ReLU(), torch.nn.Flatten(), fc).train()
x = torch.randn(n, c, side, side)
labels = torch.tensor([0, 2, 1, 2])
names = {
    "conv.weight": conv.weight, "conv.bias": conv.bias, "bn.weight": bn.weight, "bn.bias": bn.bias,
    "bn.running_mean": bn.running_mean, "bn.running_var": bn.running_var, "fc.weight": fc.weight, "fc.bias": fc.bias,
}


def numbers(tensor):
    return [float(value) for value in tensor.detach().flatten()]


out = {
    "made_by": f"PyTorch {torch.__version__}",
    "layout": "NCHW, OIHW, [out, in]",
    "x": numbers(x),
    "labels": labels.tolist(),
    "before": {name: numbers(tensor) for name, tensor in names.items()},
}
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
loss = torch.nn.functional.cross_entropy(net(x), labels)
loss.backward()
optimizer.step()
out["after"] = {name: numbers(names[name]) for name in ("bn.running_mean", "bn.running_var")}
Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")
