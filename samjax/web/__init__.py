"""The server behind `samjax serve`: a folder of images, a model, and what people mark.

`app.create_app` puts the parts together; `serving.serve` runs what it returns. What is
plain stands apart from threads and HTTP: `folder` (which images there are), `pictures`
(bytes to pixels, with bounds), `masks` (run lengths from outside), `store` (the masks
people made), `queueing` (whose turn it is), `exporting` (records and archives). Around
them: `worker`, the one thread that embeds; `guard`, who may ask; and the `*_routes`.

Needs the extra `web`.
"""
