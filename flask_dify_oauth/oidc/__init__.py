"""Speaks OpenID Connect; knows no Flask. Loaded at the first sign-in, not before."""
