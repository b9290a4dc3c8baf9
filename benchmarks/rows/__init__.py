"""The rows of the table, a module each: its work, ours and the alternatives, and the inputs they share."""
