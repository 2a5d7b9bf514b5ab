"""Where Redis is, and connections to it that follow its primary."""
