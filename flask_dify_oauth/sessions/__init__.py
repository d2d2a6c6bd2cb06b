"""The session on the server: its interface to Flask, its stores, its vault."""
