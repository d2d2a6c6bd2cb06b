"""Beside other Flask extensions: one module for each, which needs that extension and no other."""
