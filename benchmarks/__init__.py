"""Measured figures of the running product, with their conditions: `python -m benchmarks`.

They are measurements and no tests: nothing here passes or fails.
"""
