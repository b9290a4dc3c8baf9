"""The report page, its figures, templates and shared sections."""
