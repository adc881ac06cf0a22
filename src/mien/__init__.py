"""Mien recognises faces: on one machine with its own engine, or on AWS with Rekognition."""

from mien.config import Settings, open_app

__all__ = ["Settings", "open_app"]
