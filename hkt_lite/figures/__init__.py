"""Figures by subject: arrays in, (figure, alternative text, table of its numbers) out.  hkt_lite/evidence/show.py puts them on a page."""
