"""Pages read by a language model that was trained on HTML."""
