"""Notes, the sample application: ``flask --app examples.notes run`` from the repository."""

from .app import create_app

__all__ = ["create_app"]
