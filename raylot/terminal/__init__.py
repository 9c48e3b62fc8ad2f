"""What a running sweep shows in the terminal."""
