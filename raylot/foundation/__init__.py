"""What everything may know: errors, names, random keys, safe texts, the plugin registry."""
