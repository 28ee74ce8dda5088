"""Facts about this host, and bringing its daemons up."""
