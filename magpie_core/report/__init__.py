"""What leaves: millilitres, pictures and files of one result."""
