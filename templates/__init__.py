"""The pages and their stylesheet; installed as ``flask_dify_oauth.templates``."""
