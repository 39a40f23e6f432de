"""``rstrack bench satellite``: what each part of SPAX is worth, on the same clips."""
