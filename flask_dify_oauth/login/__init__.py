"""The browser's way in and out."""
