"""Numbers of images: sizes, points, boxes, masks, and the frames they live in.

This page fixes the conventions that every other module of samjax follows. A function
that departs from one of them says so in its own docstring.

Frames:

- *original*: pixels of the image as the user has it. All public prompts and results
  are in it.
- *resized*: the original scaled so that its longest side is the model's input size.
- *model*: the resized image in the top left corner of a square, zeros to the right
  and below.
- *low-res*: a quarter of the model's patch grid per cell, four by four cells to a
  patch: 256 x 256 for all released models. Mask logits and mask prompts live here.

`samjax.geometry.frame.Frame` is the only object that maps between them.

Units:

- Images are RGB, channels last, 0..255. Sizes are (height, width), as arrays have
  them.
- Points are (x, y) in pixels, x to the right and y down. Whole numbers name pixels,
  whose centres the model places at +0.5: the point (0, 0) is the middle of the first
  pixel. That half pixel is added inside the prompt encoder and nowhere else.
- Boxes are XYXY (left, top, right, bottom), in the units of points.
- Masks are boolean (h, w), true on the object. Mask logits are float; a pixel belongs
  to the mask where its logit is strictly greater than 0.

Letters in shapes: b image, p prompt set, n points (or tokens) of a prompt set, m masks
per prompt set, k masks of an image (ground truth), h w grid, c channels, t tokens,
d head dimension.
"""
