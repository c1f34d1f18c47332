"""Figures by subject: arrays in, (figure, alternative text, table of its numbers) out.  hkt_lite/show.py puts them on a page."""
