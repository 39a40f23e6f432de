"""Reports of flights: figures, plots and pictures as one HTML page, one JSON file and one picture."""
