"""Former path of `samjax.training.finetune.lora`, for configs and scripts that use it."""

from samjax.training.finetune.lora import *
