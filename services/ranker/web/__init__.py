"""What the ranker knows, as web pages: served, as one file, or as a folder of files.

values      figures, intervals and names in words, for terminal and page alike
measured    what was measured of two artifacts, fact by fact
views/      replies of the contract -> what the templates show
drawing     intervals and bars as inline SVG
links       addresses of pages, and the only addresses of others that become links
rendering   the templates with their style, their script and their security policy
reads       the ranker's reads, from its own servicer or through a stub
app         the pages over HTTP
events      a running verification, as server-sent events
rpcs        the contract as JSON: Connect and gRPC-Web
trying      a picture or a text of the reader's own
site        every page as a file
"""
