"""All candidates, in the order of the tables."""

from . import pages, peers, tokens
from .model import CANDIDATES, Candidate, Page, Seed

__all__ = ["CANDIDATES", "Candidate", "Page", "Seed", "pages", "peers", "tokens"]
