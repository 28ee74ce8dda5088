"""What a person can do with labs: composes settings, host, images, engine and sides. `tasks.py` calls it."""
