"""Uses an installed package from Python, outside a checkout: python use_wheel.py RUN."""

import sys

import numpy as np

import tl_keras

run = tl_keras.load(sys.argv[1])
assert "site-packages" in tl_keras.__file__, tl_keras.__file__
assert run.result.test.accuracy > 0.5, run.result.test.accuracy
assert run.report.is_file() and (run.workdir / run.result.shipped.path).is_file()
row = tl_keras.predict(run, np.zeros((64, 64, 3), np.uint8))[0]
assert row["prediction"] in map(str, range(10)), row
print(f"test accuracy {run.result.test.accuracy:.3f}; predict answers {row['prediction']!r}")
