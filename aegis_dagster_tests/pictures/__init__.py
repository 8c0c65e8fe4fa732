"""Tests of pictures: files drawn with Pillow, the real OCR engine."""
