"""The released model, on disk and in memory."""
