"""The contract of audits, which may still change."""
