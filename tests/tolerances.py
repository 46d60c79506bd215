"""How closely numbers have to agree, and why no closer. The one place where a test takes a tolerance from.

Errors are of two kinds. The *relative error* of an array is max|actual - desired| / max|desired|, unless
a constant says 'of every component'. *The report's measure* is the one of the experiment:
sum|actual - desired| / sum(|actual| + |desired|). With eps = 2^-53 = 1.1e-16 for float64 and
2^-24 = 6.0e-8 for float32, a sum of n terms is good to a few sqrt(n) eps.
"""

# --- Gradients against central differences, float64 --------------------------------------------------
# A difference over the step s is off by L''' s^2 / 6 (truncation) and by about eps L / s (rounding).

CENTRAL_STEP = 1e-5
CENTRAL = 1e-6
"""Relative error of every component. At this step truncation is about 1e-11 and rounding 1e-10 for L of
order 10, and components above 1e-4 are checked; a fault in a formula shows as 1e-3 or more."""

REPORT_STEP = 1e-4
REPORT = 1e-7
"""The report's measure, at the report's step, where truncation rules. The report itself found at most
2.2e-9; other sizes and other weights have other third derivatives, and are left room for fifty times."""

# --- The reference in NumPy against the naive code, float64 -------------------------------------------

NAIVE = 1e-12
"""Relative error. Both do the same sums in other orders, so one window differs by 1e-15 and ten updates
carry that along; 1e-12 leaves room for another BLAS."""

# --- A compiled engine against the reference -----------------------------------------------------------

COMPILED = 1e-10
"""Relative error of loss, gradients, dL/dh_0 and last state of one window, float64. Compiled code sums in
other orders, fuses products into sums, and approximates exp and tanh to a few units in the last place."""

COMPILED_TRAJECTORY = 1e-9
"""Relative error of the losses of ten successive updates, float64. AdaGrad's first step is the sign of the
gradient times eta, so a difference grows with every update; not long after, the two part for good."""

COMPILED_FLOAT32 = 1e-5
"""The report's measure for every gradient of one window, float32 against the float64 reference. Weights
and state are rounded to 6e-8 of themselves at every step, and T steps go there and back."""

# --- Statistics -----------------------------------------------------------------------------------------

START_LOSS = 0.02
"""Relative distance of the first loss from T ln K. At sig = 0.1 and m = 100 the logits spread by about
0.15, which T = 25 steps average to 0.03 nats a character, of ln 80 = 4.4."""
