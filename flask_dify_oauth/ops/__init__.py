"""For those who run the application."""
