"""Initial parameters and state of a run, and position tables at other input sizes."""
