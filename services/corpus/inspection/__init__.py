"""What a corpus is made of: contamination, duplicates, languages, lengths, personal data."""
