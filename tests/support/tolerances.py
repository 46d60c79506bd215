"""All tolerances of the tests: how closely numbers have to agree, and why no closer.

The relative rounding error is 1.1e-16 in double precision and 6.0e-8 in single precision. The constants refer to
`largest_relative_error` of an array, unless they say 'of every component'.
"""

import numpy as np
from numpy.typing import ArrayLike


def largest_relative_error(actual: ArrayLike, desired: ArrayLike) -> float:
    """Return max|actual - desired| / max|desired|: relative to the scale of the array."""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    return float(np.abs(actual - desired).max() / np.abs(desired).max())


# --- Gradients against central differences, float64 ---
# A central difference with step s has an error of s^2 L'''/6 (truncation) and of about 1e-16 L/s (rounding).

CENTRAL_STEP = 1e-5
CENTRAL = 1e-6
"""Relative error of every component. For L of order 10 and L''' of order 1 both errors are below
1e-10, and no component that is checked is below 1e-4. A bug in a formula shows as 1e-3 or more."""

CENTRAL_ABSOLUTE = 1e-9
"""Absolute error that is allowed in addition, where a component of a deep network is small: 1e-16 L/s is 1e-10."""

DIFFERENCE = 1e-9
"""Absolute difference of the central differences of two programs with step 1e-4, of losses up to 30: each loss has a
rounding error of up to 1e-14, and the sum of two such errors is divided by 2e-4."""

# --- The reference in NumPy against the naive code, float64 ---

NAIVE = 1e-12
"""Relative error, of one window and of ten updates. The same sums in another order: 1e-15 as
measured, with a margin for another BLAS."""

TORCH = 1e-10
"""Relative error of every component of outputs, states and gradients of torch's RNN, GRU and LSTM, float64. The
same equations, two hidden biases merged into one, another BLAS: 1e-13 as measured."""

MIXED_PRECISION = 0.05
"""Relative error, in norm, of gradients in mixed precision. bfloat16 rounds a number by up to 2^-8, and a gradient is a
product of several: 0.003 as measured, and 0.02 for alpha."""

MIXED_PRECISION_LOSS = 0.005
"""Relative error of the losses of twelve updates in mixed precision: 0.0006 as measured."""

PRODUCT_FLOAT32 = 1e-5
"""Relative error of a product of matrices of bfloat16, up to 600 products summed in float32: 5e-7 as measured."""

# --- Exported models in other libraries ---

ONNX = 1e-5
"""Relative error of the logits of onnxruntime over four windows, float32, with the state passed on. Sums in another
order and another tanh: 3e-7 as measured. Every wrong order of the gates leaves 2e-2 or more."""

TORCH_FLOAT32 = 1e-5
"""The same of torch, and of a loss computed by it."""

SINGLE = 1e-6
"""Relative error of a loss where weights were rounded from float64 to float32, 6e-8 of each."""

RANKS = 1e-6
"""Relative error of a rank correlation, whose products are rounded to float32 and added up as the BLAS likes: 3e-7 as
measured where a unit tracks a feature perfectly."""

# --- Optimizers against PyTorch's and against their formulas, float64 ---

OPTIMIZER = 1e-12
"""Relative error of parameters after 50 updates by the same gradients. The same formulas in another order: 1e-15 as
measured, and 2e-14 of a component that ends near zero."""

ORTHOGONALIZED = 1e-6
"""Relative error of orthogonalized matrices, float64. 1e-7 is added to their norms or not; rounding is some 1e-13."""

ORTHOGONALIZED_FLOAT32 = 1e-4
"""The same in float32. Three steps multiply a small singular value, with its rounding error, by up to 3.4445^3 = 41;
3e-6 as measured."""

ORTHOGONALIZED_BFLOAT16 = 0.1
"""The same with products of bfloat16, which is rounded by up to 2^-9 before each of nine products: 0.02 as measured."""

# --- A compiled engine against the reference ---

COMPILED = 1e-10
"""Relative error of loss, gradients, dL/dh_0 and final state of one window, float64. Compiled code sums in another
order, uses fused multiply-add, and has its own exp and tanh."""

COMPILED_TRAJECTORY = 1e-9
"""Relative error of the losses of ten successive updates, float64. AdaGrad's first step is close to the
sign of the gradient, so differences grow with every update; later the two runs diverge completely."""

COMPILED_TRAJECTORY_FLOAT32 = 1e-3
"""Relative error of the losses of ten successive updates, float32, and of the state after them, with learning
rates of at most 0.03: 1e-4 as measured. Where a gradient is only rounding error, Adam makes a full step of its sign.
Every fault that the tests plant causes 1e-2 or more."""

COMPILED_FLOAT32 = 1e-5
"""The measure of `elman.testing.compare_gradients` of one window, float32 against the float64 reference.
Weights and states are rounded to 6e-8 of themselves at every step, forward and backward."""

LOG_Q = 2e-14
"""Absolute error of log q, compiled against the reference. log 1e-7 is 16, whose ulp is 4e-15; the counts are summed in
another order, and the compiled logarithm is a series."""

# --- Distributions and statistics ---

PROBABILITY = 1e-12
"""Absolute error of a probability, or of a sum of probabilities over an alphabet, float64."""

START_LOSS = 0.05
"""Relative distance of the first loss from T ln K at sig = 0.1, m = 100, K = 80. Over 200 seeds it
is 0.006 with a standard deviation of 0.011: the first logits spread by 0.24."""

DEVIATIONS = 5.0
"""Standard deviations by which a count or a correlation of independent samples may be off, which a single
one exceeds by chance once in 1.7 million. The seeds are fixed, so a test that passes keeps passing."""

ORTHOGONAL = 1e-13
"""Absolute error of every component of Q' Q: m products of numbers below 1, rounded, float64."""

# --- Compiled kernels, one at a time ---
# An ulp is the distance between neighbouring numbers: numpy.spacing of the right result.

EXP_ULP = 1.1
"""Ulp by which the compiled exp may be off. The worst of all float32 is 1.06, the worst of some 1e8 float64
1.01: half for the last addition, the rest for the polynomial and, before that, for r."""

TANH_ULP = 2.75
"""Ulp by which the compiled tanh may be off. The worst of all float32 is 2.50, the worst of some 1e8 float64
2.61: rounding of e^{2x} - 1, of the sum below it and of the quotient, each up to an ulp."""

ADAGRAD_STEP = 2.0
"""Error of a parameter after an update in machine epsilons of |theta| + |step|; measured 1.18. LLVM may take
a reciprocal root with one Newton step in place of a root and a quotient."""

SOFTMAX = 4.0
"""Error of p, and of a step's loss, in machine epsilons of 1 and of ln K: measured 0.8 and 2.6. Exponentials have an
error of one ulp each, a sum of them less, and the losses of many steps are summed in double precision."""

ROUNDINGS = 4.0
"""Machine epsilons by which a few operations in a row may be off."""

SIGMOID_ULP = 2.5
"""Ulp by which the compiled sigmoid may be off: exp's own error, and a rounding each of the sum and the quotient."""

# --- Compressed files ---

CODED_FRACTION = 0.002
"""Fraction by which the size of a compressed text may differ from its surprisal: rounding of the frequencies and the
range coder cost some 1e-4 of it; measured 4e-4."""

CODED_BITS = 120
"""Bits that a compressed text of one substream may have in addition: a header of 11 bytes, and rounding at the end."""

FIXED_FUNCTIONS = 1.5e-5
"""Error of the codec's e^x, relative, and of its tanh and sigmoid; measured 1.3e-5. Six squarings make 64 relative
errors of one."""

FLOAT32_ROUNDING = 1.2e-7
"""Relative error of a float64 that was rounded to float32, twice what the rounding alone allows."""

# --- Golden files ---

GOLDEN = 1e-4
"""Relative error of numbers in float32 that another machine computed: its BLAS rounds otherwise, and training for
twenty updates enlarges the difference."""

# --- The counts alone ---

COUNTS_SESSION = 1e-6
"""Relative error of losses and logits of a session of counts, float32, against the engine ``numpy``, whose logarithms
are of float64: 1e-7 as measured."""
