"""What each expert saw: maps in the study's own space, and how they agree with the regions."""
