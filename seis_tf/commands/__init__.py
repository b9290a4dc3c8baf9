"""The commands of `seis-tf`: they parse, call documented functions, and print; nothing else is done here."""
