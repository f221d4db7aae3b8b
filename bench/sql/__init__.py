"""How fast the data of users is read and written, beside bare handlers and peers, in one run."""
