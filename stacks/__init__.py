"""Pulumi programs and their components: wiring only, no daemon is asked here."""
