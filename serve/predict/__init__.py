"""Files to an exported model's answers."""
