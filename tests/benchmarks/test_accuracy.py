"""The marks of ``make accuracy``, as tests."""

import pytest
from accuracy import LARGEST_RATE_ERROR, LARGEST_RATIO, measure, measure_rates
from networks import BENCHMARKS


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_fixed_point_is_as_near_to_the_ideal_as_float(benchmark):
    measured = measure(benchmark, "native")
    assert measured["fixed_rmse"] <= LARGEST_RATIO * measured["float_rmse"]
    assert measured["fixed_to_float_rmse"] > 0  # the two are not the same simulator


def test_lif_rates():
    assert measure_rates("native")["rms_error_hz"] <= LARGEST_RATE_ERROR
