"""Packing: rounding is to the nearest of eight significant bits, and what does not fit is refused."""

import numpy as np
import pytest

from tools.tiny.ship import SIGNIFICANT_BITS, rounded


def test_rounding_keeps_eight_significant_bits() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=4096) * 2.0 ** rng.integers(-12, 12, 4096)).astype(np.float32)
    half = rounded(values).astype(np.float64)
    error = np.abs(half - values)
    assert (error <= np.maximum(np.abs(values) * 2.0**-SIGNIFICANT_BITS, 2.0**-25)).all()
    mantissa, _ = np.frexp(half)
    assert (mantissa * 2**SIGNIFICANT_BITS == np.rint(mantissa * 2**SIGNIFICANT_BITS)).all()
    assert np.array_equal(rounded(half), rounded(values))


def test_zero_a_power_of_two_and_the_log_variance_are_exact() -> None:
    values = np.array([0.0, 1.0, -0.5, -20.0, 255.0, 2.0**-14], np.float32)
    assert np.array_equal(rounded(values), values)


@pytest.mark.parametrize("value", [7e4, -1e30, np.inf, np.nan])
def test_a_weight_outside_of_half_precision_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="float16"):
        rounded(np.array([0.0, value], np.float32))
