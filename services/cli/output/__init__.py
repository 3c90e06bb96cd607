"""What commands print: tables, reports, plots."""
