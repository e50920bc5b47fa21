# Adapters for real applications come here; each is an ordinary program.
