"""A network in the making, for small.py: nodes, weights from a seed, and what ONNX Runtime computes for it."""

import pathlib
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from safetensors.numpy import save


def evaluate(model: onnx.ModelProto, feed: dict) -> list:
    """ONNX Runtime's answers, node by node as the file has them."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


class Net:
    """Called with an operator, its operands and attributes it adds a node and returns what that makes."""

    def __init__(self, name: str, opset: int = 17):
        self.name, self.opset = name, opset
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.weights, self.inputs, self.feed, self.outputs, self.steps = [], [], [], {}, {}, {}
        self.taken = set()

    def fresh(self, name: str) -> str:
        while name in self.taken:
            stem, _, number = name.rpartition("_")
            name = f"{stem}_{int(number) + 1}" if number.isdigit() and stem else f"{name}_2"
        self.taken.add(name)
        return name

    def input(self, name: str, shape: list, sizes: list | None = None, elem=np.float32) -> str:
        """Sizes that are words stay open in the file; `sizes` are those of the stored example."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(elem))
        self.inputs.append(helper.make_tensor_value_info(self.fresh(name), kind, shape))
        self.feed[name] = self.rng.normal(size=sizes or shape).astype(elem)
        return name

    def constant(self, array, name: str = "w") -> str:
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = self.fresh(name)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def tensor(self, array: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(array)

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64), "ints")

    def normal(self, *shape: int) -> np.ndarray:
        """Weights that keep the size of what they are multiplied with."""
        inputs = np.prod(shape[1:]) if len(shape) > 1 else 4
        return (self.rng.normal(size=shape) / np.sqrt(inputs)).astype(np.float32)

    def weight(self, *shape: int) -> str:
        return self.constant(self.normal(*shape))

    def positive(self, *shape: int) -> str:
        return self.constant(self.rng.uniform(0.5, 2.0, shape).astype(np.float32))

    def __call__(self, kind: str, *operands: str, makes: int = 1, domain: str = "", **attributes):
        names = [self.fresh(kind.lower()) for _ in range(makes)]
        node = helper.make_node(kind, operands, names, name=names[0], domain=domain, **attributes)
        # In the order of their names, so that the bytes are always the same.
        node.attribute.sort(key=lambda attribute: attribute.name)
        self.nodes.append(node)
        return names[0] if makes == 1 else names

    def conv(self, x: str, out: int, into: int, kernel=(3, 3), bias: bool = True, **attributes) -> str:
        operands = [self.weight(out, into // attributes.get("group", 1), *kernel)]
        operands += [self.weight(out)] if bias else []
        return self("Conv", x, *operands, **attributes)

    def linear(self, x: str, out: int, into: int) -> str:
        return self("Gemm", x, self.weight(out, into), self.weight(out), transB=1)

    def batch_norm(self, x: str, channels: int) -> str:
        factor, mean, deviation = self.positive(channels), self.weight(channels), self.positive(channels)
        return self("BatchNormalization", x, factor, self.weight(channels), mean, deviation)

    def result(self, *names: str, shape: list | None = None):
        """Makes values results; `shape` as the file says it, else that of the example."""
        for name in names:
            self.outputs[name] = shape

    def model(self, outputs: list) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, self.name, self.inputs, outputs, self.weights)
        sets = [helper.make_opsetid("", self.opset)]
        if any(node.domain for node in self.nodes):
            sets.append(helper.make_opsetid("com.microsoft", 1))
        version = helper.find_min_ir_version_for(sets, ignore_unknown=True)
        model = helper.make_model(graph, opset_imports=sets, ir_version=version)
        model.producer_name = ""
        return model

    def value(self, name: str) -> np.ndarray:
        """What a value is on the example."""
        return evaluate(self.model([onnx.ValueInfoProto(name=name)]), self.feed)[0]

    def write(self, folder: pathlib.Path, external: bool):
        infos = [onnx.ValueInfoProto(name=name) for name in self.outputs]
        answers = evaluate(self.model(infos), self.feed)
        infos = []
        for (name, shape), answer in zip(self.outputs.items(), answers):
            assert np.isfinite(answer).all() and np.abs(answer).max() > 0, f"{self.name}: {name}"
            kind = helper.np_dtype_to_tensor_dtype(answer.dtype)
            infos.append(helper.make_tensor_value_info(name, kind, shape or answer.shape))
        model = self.model(infos)
        onnx.checker.check_model(model, full_check=True)
        if external:
            beside = f"{self.name}.bin"
            onnx.external_data_helper.convert_model_to_external_data(model, location=beside, size_threshold=64)
            (folder / beside).unlink(missing_ok=True)
            onnx.save_model(model, folder / f"{self.name}.onnx")
        else:
            (folder / f"{self.name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        arrays = {f"in:{name}": array for name, array in self.feed.items()}
        arrays |= {f"out:{name}": answer for name, answer in zip(self.outputs, answers)}
        arrays |= {f"step:{name}": np.array([step]) for name, step in self.steps.items()}
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
        (folder / f"{self.name}.safetensors").write_bytes(save(arrays))


class Quantized(Net):
    """With the scales of its integers found on the example."""

    def scale(self, values: np.ndarray, elem) -> tuple[str, str]:
        info = np.iinfo(elem)
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        step = np.float32((high - low) / 255)
        zero = np.clip(np.round(info.min - low / step), info.min, info.max).astype(elem)
        return self.constant(step, "scale"), self.constant(zero, "zero")

    def step(self, scale: str) -> float:
        stored = next(weight for weight in self.weights if weight.name == scale)
        return float(numpy_helper.to_array(stored))

    def integers(self, reals: np.ndarray, axis: int | None = None, elem=np.int8) -> tuple[str, str, str]:
        """7 bits of the 8: processors without products of bytes saturate sums of two of more."""
        others = tuple(i for i in range(reals.ndim) if i != axis) if axis is not None else None
        steps = (np.abs(reals).max(axis=others) / 63).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(reals.ndim)] if axis is not None else []
        zero = 0 if elem == np.int8 else 128
        whole = (np.round(reals / steps.reshape(shape)) + zero).astype(elem)
        zeros = np.full(steps.shape, zero, elem)
        return self.constant(whole, "integers"), self.constant(steps, "scale"), self.constant(zeros, "zero")

    def bias_integers(self, count: int, x_scale: str, w_scale: str) -> tuple[str, str]:
        """An int32 bias and its scale."""
        steps = [numpy_helper.to_array(w) for name in (x_scale, w_scale) for w in self.weights if w.name == name]
        unit = (steps[0] * steps[1]).astype(np.float32)
        whole = np.round(self.normal(count) / unit).astype(np.int32)
        return self.constant(whole, "bias"), self.constant(unit, "scale")

    # What exporters write with `QuantizeLinear` and `DequantizeLinear` around operators of floats.

    def around(self, x: str, elem=np.uint8, scale: tuple[str, str] | None = None) -> tuple[str, tuple[str, str]]:
        """`x` rounded to integers, as reals, and with which scale and zero point."""
        scale = scale or self.scale(self.value(x), elem)
        return self("DequantizeLinear", self("QuantizeLinear", x, *scale), *scale), scale

    def layer(self, kind: str, x: tuple, shape: list, axis: int | None, elem=np.uint8, act: str = "", **attributes):
        real, (x_scale, _) = x
        integers, scale, zero = self.integers(self.normal(*shape), axis)
        along = {} if axis is None else {"axis": axis}
        w = self("DequantizeLinear", integers, scale, zero, **along)
        whole, unit = self.bias_integers(shape[0], x_scale, scale)
        bias = self("DequantizeLinear", whole, unit, **({} if axis is None else {"axis": 0}))
        y = self(kind, real, w, bias, **attributes)
        return self.around(self(act, y) if act else y, elem)

    def real_result(self, x: tuple[str, tuple[str, str]]):
        """A result as reals: the last node is a `DequantizeLinear`."""
        name, (scale, _) = x
        self.result(name)
        self.steps[name] = self.step(scale)

    # Operators that take integers with scale and zero point, and give them.

    def quantize(self, x: str, elem=np.uint8) -> tuple[str, str, str]:
        scale = self.scale(self.value(x), elem)
        return self("QuantizeLinear", x, *scale), *scale

    def trial(self, kind: str, triples: list, bias: np.ndarray | None = None, **attributes) -> np.ndarray:
        """What an operator of floats makes of the reals that integers stand for."""
        scratch = Quantized(self.name, self.opset)
        scratch.nodes, scratch.weights, scratch.inputs = self.nodes[:], self.weights[:], self.inputs
        scratch.feed, scratch.taken = self.feed, set(self.taken)
        reals = []
        for x, scale, zero in triples:
            size = next((w.dims for w in self.weights if w.name == scale), [])
            along = {"axis": 0} if len(size) == 1 and size[0] > 1 else {}
            reals.append(scratch("DequantizeLinear", x, scale, zero, **along))
        operands = reals + ([] if bias is None else [scratch.constant(bias)])
        return scratch.value(scratch(kind, *operands, **attributes))

    def conv_integers(self, x: tuple, shape: list, axis: int | None, elem=np.uint8, **attributes) -> tuple:
        w = self.integers(self.normal(*shape), axis, np.int8 if axis is not None else elem)
        whole, unit = self.bias_integers(shape[0], x[1], w[1])
        steps = next(numpy_helper.to_array(weight) for weight in self.weights if weight.name == unit)
        stored = next(numpy_helper.to_array(weight) for weight in self.weights if weight.name == whole)
        self.weights = [weight for weight in self.weights if weight.name != unit]
        scale = self.scale(self.trial("Conv", [x, w], (stored * steps).astype(np.float32), **attributes), elem)
        return self("QLinearConv", *x, *w, *scale, whole, **attributes), *scale

    def operator(self, kind: str, *triples: tuple, elem=np.uint8, **attributes) -> tuple:
        """An operator `QLinear…` of ONNX Runtime's own."""
        scale = self.scale(self.trial(kind, list(triples), **attributes), elem)
        operands = [name for triple in triples for name in triple]
        operands = [*scale, *operands] if kind == "Concat" else [*operands, *scale]
        own = {"opset": self.opset} if kind == "Softmax" else {}
        own |= {"channels_last": 0} if kind.endswith("AveragePool") else {}
        return self(f"QLinear{kind}", *operands, domain="com.microsoft", **attributes, **own), *scale

    def dequantized(self, x: tuple):
        self.real_result((self("DequantizeLinear", *x), x[1:]))
