"""The reader: web pages and documents to text."""
