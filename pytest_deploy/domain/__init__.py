"""What a deploy is made of: frozen values and pure functions, no I/O, standard library only."""
