"""SA-1B as it is published: tars of JPEG files and of JSON files, read in place."""
