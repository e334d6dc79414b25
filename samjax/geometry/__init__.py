"""Geometry of images: sizes, points, boxes, masks, and their frames.

These are the conventions of every module of samjax. A function that deviates from one
documents it in its docstring.

Frames:

- *original*: pixels of the user's image. All public prompts and results are in it.
- *resized*: the original scaled so that its longest side is the model's input size.
- *model*: the resized image in the top left corner of a square, zeros to the right
  and below.
- *low-res*: the frame of mask logits and mask prompts, four by four cells to a patch of
  the model's grid: 256 x 256 for all released models.

`samjax.geometry.frame.Frame` is the only object that maps between them.

Units:

- Images are RGB, channels last, 0..255. Sizes are (height, width), as shapes of arrays.
- Points are (x, y) in pixels, x to the right and y down. Whole numbers are indices of
  pixels, whose centres are at +0.5 for the model: the point (0, 0) is the middle of the
  first pixel. That half pixel is added inside the prompt encoder only.
- Boxes are XYXY (left, top, right, bottom), in the units of points.
- Masks are boolean (h, w), true on the object. Mask logits are float; a pixel belongs
  to the mask where its logit is strictly greater than 0.

Letters in shapes: b image, p prompt set, n points (or tokens) of a prompt set, m masks
per prompt set, k masks of an image (ground truth), h w grid, c channels, t tokens,
d head dimension.
"""
