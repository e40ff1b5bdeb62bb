"""Numbers to pages: tables, pictures and report.html."""
