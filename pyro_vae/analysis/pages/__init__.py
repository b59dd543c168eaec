"""Self-contained web pages: the report of a run and its latent explorer."""
