"""The report: one page of HTML with all figures and numbers."""
