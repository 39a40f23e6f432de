"""The network of SPAX, as published and in smaller configurations."""
