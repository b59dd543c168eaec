"""Readers: images from folders of image files, and from array files."""
