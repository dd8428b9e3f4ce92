"""Slipway: push code or data; a tested model goes out."""
