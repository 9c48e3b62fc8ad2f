"""The base of all other folders: errors, names, random keys, safe texts, plugins."""
