"""SPAX: finding and following every moving object in satellite video."""
