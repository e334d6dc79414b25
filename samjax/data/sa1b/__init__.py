"""SA-1B as published: tars of JPEG and JSON files, read in place."""
