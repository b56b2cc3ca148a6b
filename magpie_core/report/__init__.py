"""What leaves: milliliters, pictures and files of one result."""
