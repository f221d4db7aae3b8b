"""Attempts of scripts to get out, in every language; what each level of isolation stops, and a program that shows it."""
