"""Pieces that pages are made of: functions from results to HTML, and a few that draw widgets.

Functions that return HTML have escaped everything in it; their classes are those of `app.css`.
"""
