"""Export to TF Serving, a client for it, and a local server that speaks its protocol."""
