"""A comparison as one HTML page that needs nothing else.

page          the whole document
side_by_side  scores, components and what was measured of both
claims        claims with verdict, evidence and command
sections      what changed, contradictions, parts of values, a segmented picture
drawing       intervals and bars as inline SVG
text          words and values as HTML
style         its CSS
picture       a picture and what a model sees in it
"""
