"""The tiny networks of small.py that compute with integers, in each of the ways that files spell it."""

import numpy as np

from small_net import Quantized

NETWORKS = {}


def network(build):
    """Adds a network, called like the function that builds it."""
    NETWORKS[build.__name__] = (Quantized, build)
    return build


@network
def qdq_unsigned(n):
    x = n.around(n.input("x", [4, 3, 6, 6]))
    x = n.layer("Conv", x, [20, 3, 3, 3], None, act="Relu", pads=[1, 1, 1, 1])
    x = n.around(n("MaxPool", x[0], kernel_shape=[2, 2], strides=[2, 2]), scale=x[1])
    x = n.layer("Conv", x, [6, 10, 3, 3], None, act="Relu", group=2)
    x = n.around(n("Flatten", x[0]), scale=x[1])
    n.real_result(n.layer("Gemm", x, [4, 6], None, transB=1))


@network
def qdq_per_channel(n):
    x = n.around(n.input("x", [4, 3, 5, 5]), np.int8)
    x = n.layer("Conv", x, [17, 3, 3, 3], 0, np.int8, act="Relu")
    x = n.layer("Conv", x, [17, 1, 2, 2], 0, np.int8, group=17)
    x = n.around(n("Flatten", x[0]), np.int8, x[1])
    n.real_result(n.layer("Gemm", x, [3, 68], 0, np.int8, transB=1))


@network
def qdq_residual(n):
    x = n.around(n.input("x", [1, 4, 6, 6]), np.int8)
    y = n.layer("Conv", x, [4, 4, 3, 3], 0, np.int8, act="Relu", pads=[1, 1, 1, 1])
    y = n.around(n("Add", x[0], y[0]), np.int8)
    z = n.layer("Conv", y, [4, 4, 1, 1], 0, np.int8, act="Sigmoid")
    z = n.around(n("Mul", z[0], y[0]), np.int8)
    z = n.around(n("AveragePool", z[0], kernel_shape=[2, 2], strides=[2, 2]), np.int8)
    z = n.around(n("Resize", z[0], "", n.constant(np.float32([1, 1, 2, 2])), mode="nearest",
                   coordinate_transformation_mode="asymmetric", nearest_mode="floor"), np.int8, z[1])
    both = n.around(n("Concat", z[0], y[0], axis=1), np.int8)
    n.real_result(n.layer("Conv", both, [3, 8, 1, 1], 0, np.int8))


@network
def qdq_matmul(n):
    x = n.around(n.input("x", [4, 8]))
    w = n("DequantizeLinear", *n.integers(n.normal(8, 6), 1), axis=1)
    x = n.around(n("Relu", n("Add", n("MatMul", x[0], w), n.weight(6))))
    w = n("DequantizeLinear", *n.integers(n.normal(6, 3)))
    n.real_result(n.around(n("MatMul", x[0], w)))


@network
def qlinear_conv(n):
    x = n.quantize(n.input("x", [2, 3, 6, 6]))
    x = n.conv_integers(x, [4, 3, 3, 3], 0, strides=[2, 2], pads=[1, 1, 1, 1])
    y = n.conv_integers(x, [4, 1, 3, 3], None, group=4, pads=[1, 1, 1, 1])
    y = n.operator("Add", x, y)
    n.dequantized(n.operator("Mul", y, n.operator("Sigmoid", y)))


@network
def qlinear_signed(n):
    x = n.quantize(n.input("x", [2, 4, 5, 5]), np.int8)
    x = n.conv_integers(x, [4, 4, 2, 2], 0, np.int8)
    y = n.operator("LeakyRelu", x, elem=np.int8, alpha=0.1)
    n.dequantized(n.operator("Add", y, x, elem=np.int8))


@network
def qlinear_classifier(n):
    x = n.quantize(n.input("x", [4, 3, 6, 6]))
    a = n.operator("LeakyRelu", n.conv_integers(x, [4, 3, 3, 3], 0), alpha=0.2)
    b = n.operator("AveragePool", x, kernel_shape=[3, 3])
    y = n.operator("GlobalAveragePool", n.operator("Concat", a, b, axis=1))
    y = (n("Flatten", y[0]), *y[1:])
    w = n.integers(n.normal(5, 7), 0)
    whole, unit = n.bias_integers(5, y[1], w[1])
    n.weights = [weight for weight in n.weights if weight.name != unit]
    scale = n.scale(n.trial("Gemm", [y, w], transB=1), np.uint8)
    y = (n("QGemm", *y, *w, whole, *scale, domain="com.microsoft", transB=1), *scale)
    n.dequantized(n.operator("Softmax", y, axis=1))


@network
def qlinear_matmul(n):
    x = n.quantize(n.input("x", [4, 8]))
    w = n.integers(n.normal(8, 6), None, np.uint8)
    scale = n.scale(n.trial("MatMul", [x, w]), np.uint8)
    x = (n("QLinearMatMul", *x, *w, *scale), *scale)
    w = n.integers(n.normal(6, 3), None)
    scale = n.scale(n.trial("MatMul", [x, w]), np.uint8)
    n.dequantized((n("QLinearMatMul", *x, *w, *scale), *scale))


@network
def ranges_as_it_runs(n):
    x, scale, zero = n("DynamicQuantizeLinear", n.input("x", [2, 3, 5, 5]), makes=3)
    w, w_scale, _ = n.integers(n.normal(4, 3, 3, 3))
    y = n("Cast", n("ConvInteger", x, w, zero), to=1)
    y = n("Relu", n("Mul", y, n("Mul", scale, w_scale)))
    y, scale, zero = n("DynamicQuantizeLinear", n("Flatten", y), makes=3)
    w, w_scale, w_zero = n.integers(n.normal(36, 4), None, np.uint8)
    y = n("Cast", n("MatMulInteger", y, w, zero, w_zero), to=1)
    y = n("Add", n("Mul", y, n("Mul", scale, w_scale)), n.weight(4))
    n.result(y)
