"""Measures the package against bare Flask and against its peers. `make bench` runs all."""
