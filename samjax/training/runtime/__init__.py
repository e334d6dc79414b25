"""Runtime of a run: devices, data feeding, metrics, signals, the watchdog, profiles."""
