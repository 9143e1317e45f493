"""The vision-language service: texts about images."""
