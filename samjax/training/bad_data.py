"""Former path of `samjax.training.runtime.bad_data`, for scripts that use it."""

from samjax.training.runtime.bad_data import *
