"""Reports: plots and tables as one HTML page, one JSON file and one picture."""
