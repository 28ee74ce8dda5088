"""The embedded provider plugins: the official tokens, served from Python."""
