"""Kept cycles put to use."""
