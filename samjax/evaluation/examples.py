"""The former module path of `read_example`."""

from samjax.evaluation.datasets.examples import read_example

__all__ = ["read_example"]
