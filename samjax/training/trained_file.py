"""Former path of `samjax.training.finetune.delta_file`, for scripts that use it."""

from samjax.training.finetune.delta_file import *
