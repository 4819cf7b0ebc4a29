"""The modules that every request passes through, as machine code where that was made of them."""
