"""Training: losses, simulated prompts, the optimizer, the step and the loop.

`step.train_step` is a pure function of (state, batch, key); `loop.train` decides when
it is called and what happens around it. Needs the `train` extra.
"""
