"""Privacy: regions of people's faces, plates and others, made unrecognizable.

SAM, section 5: faces and licence plates of the released images are blurred. `regions` has
the protocol of detectors and joins what they find, `detectors` reads detectors from ONNX
files, `blurring` changes pixels, `folder` does all images of a folder.
"""
