"""A comparison as one HTML page that needs nothing else.

page       the whole document
sections   its parts: scores, components, claims, parts of values
drawing    intervals and bars as inline SVG
style      its CSS
picture    a picture and what a compared model sees in it
"""
