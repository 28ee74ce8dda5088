"""Turns results into what a person reads."""
