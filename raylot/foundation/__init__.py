"""What all other folders may import: errors, names, random keys, safe texts, plugins."""
