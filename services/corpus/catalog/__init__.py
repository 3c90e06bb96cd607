"""What corpora hold: registration, counts, licences, and where documents are found."""
