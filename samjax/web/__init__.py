"""The server behind `samjax serve`: a folder of images, a model, and annotations.

`app.create_app` assembles the application; `serving.serve` runs it. Free of threads and
HTTP are `folder` (the images), `image_files` (bytes to pixels, within bounds),
`queueing` (the order of work), `mask_checks` and `exporting` (records and archives).
Annotations are stored by `samjax.engine.annotations`, whose rows and errors
`stored_annotations` translates. `worker` is the one thread that runs the encoder and
everything mode, `guard` the access control, and `*_routes` are the API.

Needs the extra `web`.
"""
