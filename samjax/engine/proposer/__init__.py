"""The proposer of stage 2: where to prompt, and which of the masks to show.

In the semi-automatic stage images come with confident masks (SAM, section 4). The paper's
come from boxes of a detector trained on the masks of stage 1. Here a small head on the
frozen image embedding (`head`, `training`) learns where a click is worth it, the mask
decoder draws, and a calibrated score (`confidence`) decides what is shown. `prompting` has
the sources of prompts, `proposing` the masks of an image, `measuring` recall and precision
beside a uniform grid of as many prompts, `fitted` all of it in one file.
"""
