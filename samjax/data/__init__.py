"""Scenes, records and formats that samjax trains on and writes."""
