"""Result tables as the analysis reads them: checked, named, and put together."""
