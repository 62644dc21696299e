"""The tiny networks of small.py that compute with floats."""

import numpy as np
from onnx import TensorProto

from small_net import Net

NETWORKS = {}


def network(opset: int = 17):
    """Adds a network, called like the function that builds it."""

    def add(build):
        NETWORKS[build.__name__] = (lambda name: Net(name, opset), build)
        return build

    return add


@network()
def conv_groups(n):
    x = n.input("x", [2, 4, 7, 6])
    y = n("Relu", n.conv(x, 18, 4, group=2, pads=[1, 0, 2, 1], strides=[2, 1]))
    y = n.conv(y, 5, 18, (2, 3), dilations=[1, 2], pads=[0, 2, 1, 1], bias=False)
    n.result(y)


@network()
def conv_depthwise(n):
    x = n.input("x", [1, 4, 7, 7])
    y = n.conv(x, 4, 4, group=4, auto_pad="SAME_UPPER", strides=[2, 2])
    y = n("Clip", y, n.constant(0.0), n.constant(6.0))
    y = n.conv(y, 8, 4, (1, 1), kernel_shape=[1, 1])
    y = n.conv(y, 8, 8, (2, 2), group=8, auto_pad="SAME_LOWER", dilations=[1, 1])
    n.result(n.conv(y, 3, 8, (2, 2), auto_pad="VALID"))


@network(19)
def conv_after_pad(n):
    x = n.input("x", [1, 3, 5, 6])
    zeros = n("Pad", x, n.ints(0, 0, 1, 1, 0, 0, 0, 1))
    a = n("Relu", n.conv(zeros, 4, 3, strides=[2, 2]))
    values = n("Pad", x, n.ints(1, 0, 0, 2), n.constant(0.5), n.ints(2, 3))
    b = n.conv(n("Pad", values, n.ints(0, 0, 1, 2, 0, 0, 1, 1), mode="reflect"), 4, 3)
    c = n.conv(n("Pad", x, n.ints(0, 0, 2, 0, 0, 0, 0, 3), mode="edge"), 4, 3, pads=[1, 1, 0, 0])
    d = n.conv(n("Pad", x, n.ints(0, 0, -1, 1, 0, 1, 0, -2), n.constant(0.25)), 2, 4, (2, 2))
    e = n.conv(n("Pad", x, n.ints(0, 0, 1, 1, 0, 0, 1, 2), mode="wrap"), 2, 3, (1, 1))
    n.result(a, b, c, d, e)


@network()
def conv_sequence(n):
    x = n.input("x", [2, 3, 12])
    y = n("Relu", n.batch_norm(n.conv(x, 6, 3, (3,), pads=[1, 1], bias=False), 6))
    y = n("MaxPool", y, kernel_shape=[2], strides=[2])
    y = n("Relu", n.conv(n.conv(y, 6, 6, (2,), auto_pad="SAME_UPPER"), 4, 6, (3,), dilations=[2], pads=[2, 1]))
    n.result(n("AveragePool", y, kernel_shape=[3], strides=[2], pads=[1, 1]))
    n.result(n.linear(n("Flatten", n("GlobalAveragePool", y)), 3, 4))


@network()
def conv_transposed(n):
    x = n.input("x", [1, 4, 3, 4])
    y = n("ConvTranspose", x, n.weight(4, 3, 3, 3), n.weight(3), strides=[2, 2], pads=[1, 1, 1, 1],
          output_padding=[1, 1])
    a = n("Relu", n.batch_norm(y, 3))
    b = n("ConvTranspose", x, n.weight(4, 2, 2, 3), strides=[2, 3], group=2, auto_pad="SAME_UPPER")
    c = n("ConvTranspose", x, n.weight(4, 2, 2, 2), n.weight(2), dilations=[2, 1], strides=[1, 2],
          output_shape=[5, 9])
    n.result(a, b, c)
    x = n.input("sequence", [1, 3, 5])
    y = n("ConvTranspose", x, n.weight(3, 4, 4), n.weight(4), strides=[2], pads=[1, 1])
    n.result(n("ConvTranspose", n("Relu", y), n.weight(4, 2, 3), strides=[3], output_padding=[1]))


@network()
def linear_forms(n):
    x = n.input("x", [2, 5])
    y = n("Gemm", x, n.weight(5, 6), n.weight(6), alpha=0.5, beta=2.0)
    y = n("Gemm", n("Tanh", y), n.weight(4, 6), n.constant(np.float32([0.25])), transB=1)
    n.result(n("Gemm", y, n.weight(4, 3)))
    turned = n("Transpose", n("Relu", x), perm=[1, 0])
    n.result(n("Gemm", turned, n.weight(3, 5), n.weight(1, 3), transA=1, transB=1))
    x = n.input("rows", [2, 6])
    y = n("Relu", n("Add", n("MatMul", x, n.weight(6, 5)), n.weight(5)))
    n.result(n("Add", n.weight(3), n("MatMul", y, n.weight(5, 3))))
    tokens = n.input("tokens", [2, 3, 4])
    n.result(n("Add", n("MatMul", n("Relu", tokens), n.weight(4, 4)), tokens))


@network()
def flatten_channels_first(n):
    x = n.input("x", [2, 3, 6, 6])
    y = n("MaxPool", n("Relu", n.conv(x, 4, 3)), kernel_shape=[2, 2], strides=[2, 2])
    y = n.linear(n("Flatten", y), 8, 16)
    n.result(n("Softmax", n.linear(n("Relu", y), 5, 8), axis=1))


@network()
def flatten_channels_last(n):
    x = n.input("x", [2, 6, 5, 3])
    y = n.conv(n("Transpose", x, perm=[0, 3, 1, 2]), 4, 3, strides=[2, 2])
    y = n("Transpose", n("Relu", y), perm=[0, 2, 3, 1])
    flat = n("Reshape", y, n.ints(-1, 16))
    n.result(n("Add", n("MatMul", flat, n.weight(16, 3)), n.weight(3)))
    n.result(n.linear(n("Flatten", y), 2, 16))


@network()
def batch_norms(n):
    x = n.input("x", [2, 3, 4, 4])
    y = n.conv(n.batch_norm(x, 3), 4, 3, pads=[1, 1, 1, 1], bias=False)
    y = n("Relu", n.batch_norm(y, 4))
    y = n.batch_norm(n("Relu", n.conv(y, 4, 4, (1, 1))), 4)
    y = n("Relu", n.batch_norm(n.linear(n("Flatten", y), 5, 64), 5))
    n.result(n.linear(y, 3, 5))


@network()
def norms_of_images(n):
    x = n.input("x", [2, 4, 4, 5])
    y = n("InstanceNormalization", x, n.positive(4), n.weight(4), epsilon=1e-3)
    n.result(n("LRN", n("Relu", y), size=3, alpha=0.1, beta=0.6, bias=1.5))
    n.result(n("LayerNormalization", x, n.positive(4, 4, 5), n.weight(4, 4, 5), axis=1))


@network(21)
def norms_of_groups(n):
    x = n.input("x", [2, 6, 3, 4])
    n.result(n("GroupNormalization", x, n.positive(6), n.weight(6), num_groups=2))
    tokens = n.input("tokens", [2, 3, 8])
    y = n("LayerNormalization", tokens, n.positive(8), n.weight(8))
    y = n("Gelu", n("Add", n("MatMul", y, n.weight(8, 4)), n.weight(4)))
    n.result(n("Add", n("MatMul", y, n.weight(4, 8)), tokens))


@network(24)
def activations(n):
    x = n.input("x", [1, 3, 2, 4])
    for kind, attributes in [
        ("Relu", {}), ("LeakyRelu", {"alpha": 0.1}), ("Sigmoid", {}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("HardSwish", {}), ("Tanh", {}), ("Elu", {"alpha": 0.7}), ("Selu", {}), ("Celu", {"alpha": 1.5}),
        ("Softplus", {}), ("Softsign", {}), ("Mish", {}), ("Swish", {}), ("Gelu", {}), ("Gelu", {"approximate": "tanh"}),
    ]:
        n.result(n(kind, x, **attributes))
    n.result(n("Clip", x, n.constant(-0.5)), n("Clip", x, "", n.constant(0.5)))
    n.result(n("PRelu", x, n.constant(np.float32([0.1, 0.2, 0.3]).reshape(3, 1, 1))))


@network()
def functions(n):
    x = n.input("x", [2, 3, 5])
    y = n("Exp", n("Mul", x, n.constant(0.5)))
    for kind in ["Log", "Sqrt", "Reciprocal"]:
        n.result(n(kind, y))
    for kind in ["Abs", "Floor", "Ceil", "Round", "Neg", "Erf"]:
        n.result(n(kind, x))
    n.result(n("Pow", y, n.constant(1.5)), n("Pow", x, n.constant(2.0)))


@network()
def hard_swish_spelled(n):
    x = n.input("x", [1, 2, 3, 3])
    y = n("Add", n("HardSwish", x), x)
    y = n("Add", n("Mul", y, n("HardSigmoid", y, alpha=1 / 6, beta=0.5)), x)
    gate = n("Clip", n("Add", y, n.constant(3.0)), n.constant(0.0), n.constant(6.0))
    n.result(n("Div", n("Mul", y, gate), n.constant(6.0)))


@network()
def gates_spelled(n):
    x = n.input("x", [2, 3, 6])
    y = n("Add", n("Mul", x, n("Sigmoid", x)), x)
    half, one = n.constant(0.5), n.constant(1.0)
    erf = n("Erf", n("Div", y, n.constant(np.sqrt(2.0))))
    n.result(n("Mul", n("Mul", y, n("Add", erf, one)), half))
    cube = n("Mul", n("Pow", y, n.constant(3.0)), n.constant(0.044715))
    inner = n("Tanh", n("Mul", n("Add", y, cube), n.constant(np.sqrt(2 / np.pi))))
    n.result(n("Mul", n("Mul", half, y), n("Add", one, inner)))
    n.result(n("Mul", y, n("Tanh", n("Softplus", y))))


@network()
def squeeze_and_excite(n):
    x = n("Relu", n.conv(n.input("x", [2, 3, 5, 5]), 4, 3))
    gate = n("Relu", n.conv(n("GlobalAveragePool", x), 2, 4, (1, 1)))
    x = n("Mul", x, n("HardSigmoid", n.conv(gate, 4, 2, (1, 1)), alpha=1 / 6))
    gate = n("ReduceMean", x, axes=[2, 3], keepdims=0)
    gate = n("Sigmoid", n.linear(n("Relu", n.linear(gate, 2, 4)), 4, 2))
    gate = n("Unsqueeze", n("Unsqueeze", gate, n.ints(2)), n.ints(3))
    n.result(n("Mul", gate, x))


@network()
def pairs(n):
    x, other = n.input("x", [2, 3, 4, 2]), n.input("other", [2, 3, 1, 2])
    channels, row = n.positive(3, 1, 1), n.positive(2)
    y = n("Sub", n("Add", x, other), n("Mul", x, channels))
    n.result(n("Div", y, row), n("Sub", channels, other), n("Div", other, n.positive(1, 3, 4, 1)))
    n.result(n("Min", x, other, row), n("Max", x, n.constant(0.1), other), n("Sum", x, other, channels))
    n.result(n("Mean", x, other, y), n("Sub", n.constant(1.0), x), n("Pow", n("Exp", x), channels))
    n.result(n("Max", n("Min", x, n.constant(0.5)), n.constant(-0.5)), n("PRelu", x, row))


@network()
def pieces(n):
    x = n.input("x", [2, 6, 4, 4])
    a, b, c = n("Split", x, n.ints(1, 2, 3), makes=3, axis=1)
    y = n("Concat", c, b, n("Tile", a, n.ints(1, 2, 1, 1)), axis=1)
    n.result(n("Slice", y, n.ints(1, 0), n.ints(9, -1), n.ints(1, 3), n.ints(2, 1)))
    n.result(n("Gather", y, n.ints(0, 3, 4, -1), axis=1), n("Gather", x, n.constant(np.int64(2)), axis=2))
    top, bottom = n("Split", x, makes=2, axis=2)
    n.result(n("Add", top, bottom), n("Concat", a, n.constant(n.normal(2, 1, 4, 4)), axis=-3))
    mean = n("ReduceMean", x, axes=[2], keepdims=1)
    n.result(n("Expand", mean, n.ints(1, 1, 3, 1)), n("Tile", mean, n.ints(1, 1, 2, 3)))


@network()
def axes(n):
    x = n.input("x", [2, 4, 3, 1])
    y = n("Transpose", n("Squeeze", x, n.ints(3)), perm=[0, 2, 1])
    y = n("Add", y, n.weight(4))
    n.result(y, n("Unsqueeze", y, n.ints(-1, 1)), n("Reshape", y, n.ints(0, -1, 2)))
    images = n.input("images", [2, 6, 3, 4])
    apart = n("Reshape", images, n.ints(0, 2, 3, 3, 4))
    mixed = n("Reshape", n("Transpose", apart, perm=[0, 2, 1, 3, 4]), n.ints(0, 6, 3, 4))
    n.result(n.conv(mixed, 6, 6, (1, 1), group=2))
    n.result(n("Flatten", n("Transpose", images, perm=[0, 1, 3, 2]), axis=2))


@network(19)
def resize_modes(n):
    x = n.input("x", [1, 2, 3, 4])
    scales, sizes = n.constant(np.float32([1, 1, 2, 1.5])), n.ints(1, 2, 5, 7)
    for attributes in [
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
        {"mode": "linear"}, {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
    ]:
        n.result(n("Resize", x, "", scales, **attributes))
    for attributes in [
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        {"mode": "nearest", "nearest_mode": "ceil", "coordinate_transformation_mode": "tf_half_pixel_for_nn"},
    ]:
        n.result(n("Resize", x, "", "", sizes, **attributes))
    half = n.ints(2, 2)
    n.result(n("Resize", x, "", "", half, mode="linear", antialias=1, axes=[2, 3]))
    n.result(n("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel_symmetric"))
    n.result(n("Resize", x, "", "", n.ints(6, 6), axes=[2, 3], keep_aspect_ratio_policy="not_larger"))


@network(9)
def before_version_10(n):
    x = n.input("x", [1, 3, 4, 4])
    y = n("Pad", x, pads=[0, 0, 1, 1, 0, 0, 1, 1], mode="constant", value=0.0)
    y = n("Clip", n.batch_norm(n.conv(y, 4, 3, bias=False), 4), min=-1.0, max=2.0)
    y = n("Upsample", y, n.constant(np.float32([1, 1, 2, 2])), mode="nearest")
    y = n("Slice", y, axes=[2, 3], starts=[0, 1], ends=[6, 7])
    y = n("Dropout", n("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), ratio=0.5)
    y = n("Unsqueeze", n("Squeeze", n("ReduceMax", y, axes=[2]), axes=[2]), axes=[2])
    a, b = n("Split", y, makes=2, axis=1, split=[1, 3])
    n.result(n("Upsample", a, n.constant(np.float32([1, 1, 3, 2])), mode="linear"))
    n.result(n("Softmax", b))


@network()
def depth_and_space(n):
    x = n.input("x", [1, 3, 4, 6])
    y = n("SpaceToDepth", x, blocksize=2)
    y = n.conv(y, 8, 12, (1, 1))
    n.result(n("DepthToSpace", y, blocksize=2), n("DepthToSpace", n("Relu", y), blocksize=2, mode="CRD"))


@network(19)
def pools(n):
    x = n.input("x", [1, 2, 7, 6])
    square = {"kernel_shape": [3, 3], "strides": [2, 2]}
    n.result(n("MaxPool", x, **square, ceil_mode=1), n("MaxPool", x, kernel_shape=[2, 3], dilations=[2, 1]))
    n.result(n("AveragePool", x, **square, pads=[1, 1, 1, 1], count_include_pad=1))
    n.result(n("AveragePool", x, **square, pads=[1, 0, 1, 1], ceil_mode=1))
    n.result(n("AveragePool", x, kernel_shape=[2, 2], auto_pad="SAME_UPPER"))
    n.result(n("MaxPool", x, **square, pads=[2, 2, 2, 2]), n("GlobalMaxPool", x), n("GlobalAveragePool", x))


@network(18)
def reductions(n):
    x = n.input("x", [2, 3, 4, 5])
    for kind, axis in [("Mean", 1), ("Sum", 2), ("Max", 3), ("Min", -2), ("L1", 1), ("L2", 2), ("SumSquare", 3)]:
        n.result(n(f"Reduce{kind}", x, n.ints(axis)))
    n.result(n("ReduceMean", x, n.ints(1, 3), keepdims=0), n("ReduceL2", x, n.ints(2, 3), keepdims=0))
    x = n.conv(x, 5, 3, (1, 1))
    n.result(n("ArgMax", x, axis=1, keepdims=0), n("ArgMax", x, axis=-1))
    n.result(n("Softmax", x, axis=1), n("LogSoftmax", x, axis=3))
    n.result(n("LogSoftmax", n("ReduceMean", x, n.ints(2, 3), keepdims=0)))


@network()
def known_shapes(n):
    x = n.input("x", [1, 4, 3, 2])
    y = n("Relu", n.conv(x, 4, 4, (1, 1)))
    shape = n("Shape", y)
    batch = n("Gather", shape, n.constant(np.int64(0)), axis=0)
    rows = n("Concat", n("Unsqueeze", batch, n.ints(0)), n.ints(-1), axis=0)
    n.result(n.linear(n("Reshape", y, rows), 3, 24))
    # As many as there are pixels, by other ways.
    pixels = n("Div", n("Size", y), n("Mul", batch, n("Gather", shape, n.constant(np.int64(1)), axis=0)))
    to = n("Concat", n.ints(0, 4), n("Unsqueeze", n("Cast", pixels, to=TensorProto.INT64), n.ints(0)), axis=0)
    sequence = n("Reshape", y, to)
    places = n("Range", n.constant(np.int64(0)), pixels, n.constant(np.int64(1)))
    odd = n("Equal", n("Mod", places, n.constant(np.int64(2))), n.constant(np.int64(1)))
    ones = n("ConstantOfShape", n.ints(6), value=n.tensor(np.float32([0.5])))
    n.result(n("Mul", sequence, n("Where", odd, ones, n("Cast", places, to=TensorProto.FLOAT))))
    half = n("Slice", n("Shape", x), n.ints(2), n.ints(4))
    grown = n("Concat", n.ints(1, 4), n("Mul", half, n.ints(2, 3)), axis=0)
    n.result(n("Resize", y, "", "", grown, mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor"))


@network()
def open_batch(n):
    x = n.input("x", ["batch", 2, 4, 4], [3, 2, 4, 4])
    y = n("Relu", n.conv(x, 3, 2, strides=[2, 2], pads=[1, 1, 1, 1]))
    shape = n("Shape", y)
    batch = n("Slice", shape, n.ints(0), n.ints(1))
    y = n("Reshape", y, n("Concat", batch, n.ints(-1), axis=0))
    n.result(n.linear(y, 4, 12), shape=["batch", 4])


@network()
def open_size(n):
    x = n.input("x", ["batch", 3, "height", "width"], [2, 3, 6, 8])
    y = n("Relu", n.conv(x, 4, 3, strides=[2, 2], pads=[1, 1, 1, 1]))
    size = n("Slice", n("Shape", x), n.ints(2), n.ints(4))
    to = n("Concat", n("Slice", n("Shape", y), n.ints(0), n.ints(2)), size, axis=0)
    y = n("Resize", y, "", "", to, mode="linear")
    n.result(n.conv(y, 1, 4, (1, 1)), shape=["batch", 1, "height", "width"])


@network()
def external_data(n):
    x = n.input("x", [1, 3, 4, 4])
    y = n("Relu", n.conv(x, 5, 3))
    n.result(n.linear(n("Flatten", y), 3, 20))


@network()
def constants_as_nodes(n):
    x = n.input("x", [1, 2, 4, 4])
    w = n("Identity", n("Constant", value=n.tensor(n.normal(3, 2, 3, 3))))
    y = n("Relu", n("Conv", x, w, n("Constant", value_floats=[0.1, -0.2, 0.3])))
    y = n("Mul", n("Dropout", n("Identity", y)), n("Constant", value_float=1.5))
    y = n("CastLike", n("Cast", y, to=TensorProto.DOUBLE), n("Constant", value_float=0.0))
    y = n("Reshape", y, n("Constant", value_ints=[1, 12]))
    shared = n("Transpose", n("Constant", value=n.tensor(n.normal(12, 12))), perm=[1, 0])
    y = n("Tanh", n("MatMul", y, shared))
    n.result(n("MatMul", y, shared), n("Clip", y, n("Constant", value_float=-0.5), n("Constant", value_float=0.25)))


@network()
def two_in_two_out(n):
    image, numbers = n.input("image", [2, 3, 5, 5]), n.input("numbers", [2, 4])
    y = n("Relu", n.conv(image, 6, 3, strides=[2, 2]))
    both = n("Concat", n("Flatten", y), n.linear(numbers, 4, 4), axis=1)
    z = n("Reshape", n("Tanh", n.linear(numbers, 6, 4)), n.ints(-1, 6, 1, 1))
    n.result(n.linear(both, 3, 28), n("Add", y, z))


@network()
def halves(n):
    x = n.input("x", [1, 3, 4, 4], elem=np.float16)
    y = n("Conv", x, n.constant(n.normal(4, 3, 3, 3).astype(np.float16)), n.constant(n.normal(4).astype(np.float16)))
    y = n("Relu", y)
    y = n("Gemm", n("Flatten", y), n.constant(n.normal(3, 16).astype(np.float16)), transB=1)
    n.result(n("Cast", y, to=TensorProto.FLOAT))
