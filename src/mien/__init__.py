"""Recognise faces: on one machine with our own engine, or on AWS with Rekognition."""

from mien.config import Settings, open_app

__all__ = ["Settings", "open_app"]
