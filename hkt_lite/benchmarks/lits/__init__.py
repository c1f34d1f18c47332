"""Liver and tumour in CT (LiTS): U-Nets."""
