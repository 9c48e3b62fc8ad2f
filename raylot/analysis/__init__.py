"""From tables to statistics, figures, prose and the report; imports neither Ray nor torch."""
