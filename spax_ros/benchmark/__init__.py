"""`rstrack bench satellite` and `bench sparsity`: SPAX with one part exchanged at a time."""
